;; expect: refused IM_ADMISSION_HOOK
;; An observe that takes the frame alone.
(module
  (import "env" "memory" (memory 1))
  (global (export "__heap_base") i32 (i32.const 1024))
  (func (export "observe") (param i32) (result i32) (i32.const 0))
  (func (export "rank") (param i32) (result i32) (i32.const 0)))
