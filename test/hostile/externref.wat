;; expect: refused IM_ADMISSION_REFERENCE_TYPES
;; Passes host references around.
(module
  (import "env" "memory" (memory 1))
  (global (export "__heap_base") i32 (i32.const 1024))
  (func $hold (param externref))
  (func (export "rank") (param i32) (result i32) (i32.const 0)))
