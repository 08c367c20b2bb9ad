;; expect: refused IM_ADMISSION_EXPORT_RESERVED
;; Exports a global under the name of the host's fuel.
(module
  (import "env" "memory" (memory 1))
  (global (export "__heap_base") i32 (i32.const 1024))
  (global (export "__im_fuel") i64 (i64.const 0x7fffffffffffffff))
  (func (export "rank") (param i32) (result i32) (i32.const 0)))
