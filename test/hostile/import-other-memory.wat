;; expect: refused IM_ADMISSION_IMPORT
;; Takes its memory from elsewhere.
(module
  (import "host" "memory" (memory 1))
  (global (export "__heap_base") i32 (i32.const 1024))
  (func (export "rank") (param i32) (result i32) (i32.const 0)))
