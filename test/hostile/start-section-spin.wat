;; expect: refused IM_ADMISSION_START
;; Spins inside instantiation, before any fuel is given.
(module
  (import "env" "memory" (memory 1))
  (global (export "__heap_base") i32 (i32.const 1024))
  (func (export "rank") (param i32) (result i32) (i32.const 0))
  (func $spin (loop $again (br $again)))
  (start $spin))
