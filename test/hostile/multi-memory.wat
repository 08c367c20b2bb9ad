;; expect: refused IM_ADMISSION_MULTI_MEMORY
;; Brings a second memory of its own.
(module
  (import "env" "memory" (memory 1))
  (global (export "__heap_base") i32 (i32.const 1024))
  (memory $mine 1)
  (func (export "rank") (param i32) (result i32) (i32.const 0)))
