;; expect: refused IM_ADMISSION_EXCEPTIONS
;; The same with the newer instructions.
(module
  (import "env" "memory" (memory 1))
  (global (export "__heap_base") i32 (i32.const 1024))
  (func (export "rank") (param i32) (result i32)
    (block $out (try_table (catch_all $out) (call $work)))
    (i32.const 0))
  (func $work (loop $spin (br $spin))))
