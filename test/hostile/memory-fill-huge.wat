;; expect: spent
;; A length near 2^32: must be charged before it traps, without wrapping.
(module
  (import "env" "memory" (memory 1))
  (global (export "__heap_base") i32 (i32.const 1024))
  (func (export "rank") (param $frame i32) (result i32)
    (memory.fill (i32.const 0) (i32.const 0) (i32.const 0xfffffff0))
    i32.const 0))
