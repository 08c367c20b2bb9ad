;; expect: refused IM_ADMISSION_REFERENCE_TYPES
;; Makes a function reference.
(module
  (import "env" "memory" (memory 1))
  (global (export "__heap_base") i32 (i32.const 1024))
  (elem declare func $f)
  (func $f)
  (func (export "rank") (param i32) (result i32) (ref.is_null (ref.func $f))))
