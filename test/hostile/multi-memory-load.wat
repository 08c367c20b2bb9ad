;; expect: refused IM_ADMISSION_MULTI_MEMORY
;; Reads from a second memory.
(module
  (import "env" "memory" (memory 1))
  (global (export "__heap_base") i32 (i32.const 1024))
  (memory $mine 1)
  (func (export "rank") (param i32) (result i32) (i32.load $mine (local.get 0))))
