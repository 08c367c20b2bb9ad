;; expect: refused IM_ADMISSION_HOOK
;; A rank that returns a float.
(module
  (import "env" "memory" (memory 1))
  (global (export "__heap_base") i32 (i32.const 1024))
  (func (export "rank") (param i32) (result f32) (f32.const 0)))
