;; expect: refused IM_ADMISSION_HEAP_BASE
;; Does not say where its own data ends.
(module
  (import "env" "memory" (memory 1))
  (func (export "rank") (param i32) (result i32) (i32.const 0)))
