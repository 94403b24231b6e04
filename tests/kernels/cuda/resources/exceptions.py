"""Kernels that may read and write local memory: (name, architectures) and why. The table holds how
many bytes that are, so that none gets more unnoticed."""

_FEW = "a value or two are put away, so that as many blocks as the launch bounds ask for fit"

LOCAL_MEMORY = {
    (r"::turn_table_kernel$", (80, 90, 100)):
        "sin and cos of large angles: the digits of their reduction, an array that few angles touch",
    (r"::attention_kernel<128, false>$", (80,)): _FEW,
    (r"::product_keys_kernel<1, (true|false)>$", (90,)): _FEW,
    (r"::column_sums_kernel<mneme::kernels::Bf16>$", (100,)): _FEW,
    (r"::dot_tokens_kernel<mneme::kernels::Bf16, false>$", (100,)): _FEW,
    (r"::gather_rows_kernel<mneme::kernels::Bf16, false>$", (100,)):
        "rows whose width is no multiple of 8, read column by column: no model of configs/ has them",
    (r"::take_tiles_kernel<", (80,)): "counts of a tile, a few words that the compiler does not keep in registers",
}
