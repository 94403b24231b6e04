'use strict';
// Draws the page's charts from the data in it. Colours are those of the style sheet, so that dark
// and light pages, and printed ones, have their own.
(() => {
  const data = JSON.parse(document.getElementById('charts').textContent);
  const dashes = [[], [7, 4], [2, 3], [10, 3, 2, 3], [4, 4], [12, 4], [1, 4], [6, 2]];
  const drawn = [];

  const color = (name) =>
    getComputedStyle(document.documentElement).getPropertyValue(name).trim();

  const short = (value) => {
    const size = Math.abs(value);
    if (size >= 1e9) return +(value / 1e9).toPrecision(3) + 'G';
    if (size >= 1e6) return +(value / 1e6).toPrecision(3) + 'M';
    if (size >= 1e4) return +(value / 1e3).toPrecision(3) + 'k';
    return String(+value.toPrecision(3));
  };

  // Vertical lines with a word beside them.
  const marks = {
    id: 'marks',
    afterDatasetsDraw(chart) {
      const list = chart.options.plugins.marks.list || [];
      const {ctx, chartArea, scales} = chart;
      ctx.save();
      ctx.strokeStyle = ctx.fillStyle = color('--soft');
      ctx.setLineDash([3, 3]);
      ctx.font = '12px system-ui, sans-serif';
      for (const mark of list) {
        const x = scales.x.getPixelForValue(mark.x);
        if (x < chartArea.left || x > chartArea.right) continue;
        ctx.beginPath();
        ctx.moveTo(x, chartArea.top);
        ctx.lineTo(x, chartArea.bottom);
        ctx.stroke();
        ctx.textAlign = x > (chartArea.left + chartArea.right) / 2 ? 'right' : 'left';
        ctx.fillText(mark.text, x + (ctx.textAlign === 'left' ? 4 : -4), chartArea.top + 12);
      }
      ctx.restore();
    },
  };

  function options(chart) {
    const text = color('--text');
    const grid = color('--grid');
    const axis = (title, log, percent) => ({
      type: log ? 'logarithmic' : 'linear',
      title: {display: true, text: title, color: text},
      grid: {color: grid, borderColor: grid},
      ticks: {
        color: text,
        maxTicksLimit: 8,
        maxRotation: 0,
        callback: (value) => (percent ? +(100 * value).toPrecision(3) + '%' : short(value)),
      },
    });
    const y = axis(chart.y_title, chart.log_y, chart.percent);
    y.stacked = chart.stacked;
    if (!chart.log_y && chart.from_zero) y.min = 0;
    if (chart.stacked && chart.percent) y.max = 1;
    const x = axis(chart.x_title, chart.log_x, false);
    x.min = chart.x[0];
    x.max = chart.x[chart.x.length - 1];
    return {
      animation: false,
      responsive: true,
      maintainAspectRatio: false,
      normalized: true,
      interaction: {mode: 'index', intersect: false},
      scales: {x, y},
      plugins: {
        legend: {
          display: chart.series.length > 1,
          labels: {color: text, usePointStyle: false, boxWidth: 28, boxHeight: 2},
        },
        tooltip: {
          callbacks: {
            label: (item) =>
              item.dataset.label + ': ' +
              (chart.percent ? (100 * item.parsed.y).toPrecision(3) + '%' : short(item.parsed.y)),
          },
        },
        marks: {list: chart.marks},
      },
    };
  }

  function dataset(chart, series, index) {
    const line = color('--c' + series.color);
    return {
      label: series.name,
      data: series.values.map((value, i) => ({x: chart.x[i], y: value}))
        .filter((point) => point.y !== null),
      borderColor: line,
      backgroundColor: chart.stacked ? line : 'transparent',
      fill: chart.stacked ? (index === 0 ? 'origin' : '-1') : false,
      borderWidth: chart.stacked ? 1 : 2,
      borderDash: chart.stacked ? [] : dashes[index % dashes.length],
      pointRadius: chart.x.length > 40 ? 0 : 3,
      tension: 0,
    };
  }

  function draw() {
    for (const chart of drawn.splice(0)) chart.destroy();
    for (const chart of data) {
      const canvas = document.getElementById('chart-' + chart.id);
      drawn.push(new Chart(canvas, {
        type: 'line',
        data: {datasets: chart.series.map((series, i) => dataset(chart, series, i))},
        options: options(chart),
        plugins: [marks],
      }));
    }
  }

  draw();
  matchMedia('(prefers-color-scheme: dark)').addEventListener('change', draw);
  matchMedia('print').addEventListener('change', draw);
  window.addEventListener('beforeprint', draw);
  window.addEventListener('afterprint', draw);
})();
