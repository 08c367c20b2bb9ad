;; expect: refused IM_ADMISSION_IMPORT_FUNCTION
;; Wants a clock.
(module
  (import "performance" "now" (func (result f64)))
  (import "env" "memory" (memory 1))
  (global (export "__heap_base") i32 (i32.const 1024))
  (func (export "rank") (param i32) (result i32) (i32.const 0)))
