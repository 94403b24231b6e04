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

  // Through each point, from the least to the most that it stands for.
  const spreads = {
    id: 'spreads',
    afterDatasetsDraw(chart) {
      const {ctx, scales} = chart;
      ctx.save();
      chart.data.datasets.forEach((dataset, i) => {
        if (!chart.isDatasetVisible(i)) return;
        ctx.strokeStyle = dataset.borderColor;
        for (const point of dataset.data) {
          if (!(point.low < point.high)) continue;
          const x = scales.x.getPixelForValue(point.x);
          ctx.beginPath();
          for (const value of [point.low, point.high]) {
            const y = scales.y.getPixelForValue(value);
            ctx.moveTo(x - 4, y);
            ctx.lineTo(x + 4, y);
          }
          ctx.moveTo(x, scales.y.getPixelForValue(point.low));
          ctx.lineTo(x, scales.y.getPixelForValue(point.high));
          ctx.stroke();
        }
      });
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
    const has_points = chart.series.some((series) => series.is_points);
    if (chart.x_labels) {
      x.min = -0.3;
      x.max = chart.x_labels.length - 0.7;
      x.afterBuildTicks = (scale) => {
        scale.ticks = chart.x.map((value) => ({value}));
      };
      x.ticks.callback = (value) => chart.x_labels[value];
    } else if (!has_points) {
      x.min = chart.x[0];
      x.max = chart.x[chart.x.length - 1];
    } else if (!chart.log_x) {
      x.min = 0;
    }
    y.suggestedMax = Math.max(...chart.series.flatMap((series) => series.high || []), 0) ||
      undefined;
    return {
      animation: false,
      responsive: true,
      maintainAspectRatio: false,
      normalized: true,
      interaction: {mode: has_points ? 'nearest' : 'index', intersect: false},
      scales: {x, y},
      plugins: {
        legend: {
          display: chart.series.length > 1,
          labels: {color: text, usePointStyle: false, boxWidth: 28, boxHeight: 2},
        },
        tooltip: {
          callbacks: {
            title: (items) =>
              items.length === 0 ? '' :
              chart.x_title + ': ' +
              (chart.x_labels ? chart.x_labels[items[0].parsed.x] : short(items[0].parsed.x)),
            label: (item) =>
              (item.raw.name || item.dataset.label) + ': ' +
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
      data: series.values.map((value, i) => ({
        x: chart.x[i],
        y: value,
        low: (series.low || [])[i],
        high: (series.high || [])[i],
        name: (series.names || [])[i],
      })).filter((point) => point.y !== null),
      borderColor: line,
      backgroundColor: chart.stacked ? line : 'transparent',
      fill: chart.stacked ? (index === 0 ? 'origin' : '-1') : false,
      borderWidth: chart.stacked ? 1 : 2,
      borderDash: chart.stacked ? [] : dashes[index % dashes.length],
      showLine: !series.is_points,
      pointRadius: series.is_points ? 5 : chart.x.length > 40 ? 0 : 3,
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
        plugins: [marks, spreads],
      }));
    }
  }

  draw();
  matchMedia('(prefers-color-scheme: dark)').addEventListener('change', draw);
  matchMedia('print').addEventListener('change', draw);
  window.addEventListener('beforeprint', draw);
  window.addEventListener('afterprint', draw);
})();
