;; expect: refused IM_ADMISSION_THREADS
;; Waits for a notification that never comes, on the thread that decides.
(module
  (import "env" "memory" (memory 1 1 shared))
  (global (export "__heap_base") i32 (i32.const 1024))
  (func (export "rank") (param i32) (result i32) (memory.atomic.wait32 (i32.const 0) (i32.const 0) (i64.const -1))))
