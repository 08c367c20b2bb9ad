;; expect: refused IM_ADMISSION_MEMORY64
;; A memory with 64-bit addresses.
(module
  (import "env" "memory" (memory i64 1))
  (global (export "__heap_base") i32 (i32.const 1024))
  (func (export "rank") (param i32) (result i32) (i32.const 0)))
