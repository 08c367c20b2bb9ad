;; expect: refused IM_ADMISSION_SHARED_MEMORY
;; Asks for a shared memory.
(module
  (import "env" "memory" (memory 1 1 shared))
  (global (export "__heap_base") i32 (i32.const 1024))
  (func (export "rank") (param i32) (result i32) (i32.const 0)))
