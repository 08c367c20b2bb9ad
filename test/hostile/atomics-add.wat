;; expect: refused IM_ADMISSION_THREADS
;; Atomic addition, on a memory that is not shared.
(module
  (import "env" "memory" (memory 1))
  (global (export "__heap_base") i32 (i32.const 1024))
  (func (export "rank") (param i32) (result i32) (i32.atomic.rmw.add (i32.const 0) (i32.const 1))))
