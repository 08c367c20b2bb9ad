;; expect: refused IM_ADMISSION_EXCEPTIONS
;; Declares an exception tag and throws.
(module
  (import "env" "memory" (memory 1))
  (global (export "__heap_base") i32 (i32.const 1024))
  (tag $oops)
  (func (export "rank") (param i32) (result i32) (throw $oops)))
