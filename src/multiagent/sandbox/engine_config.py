"""What compiled artifacts depend on, without the weight of the engine itself."""

MAX_WASM_STACK = 1 << 20

# Part of the artifact's key: change it with anything in `wasi.make_engine`.
ENGINE_CONFIG = f"fuel epoch stack={MAX_WASM_STACK} unwind=off threads=off"
