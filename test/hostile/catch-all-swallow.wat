;; expect: refused IM_ADMISSION_EXCEPTIONS
;; Tries to swallow whatever ends it, and go on.
(module
  (import "env" "memory" (memory 1))
  (global (export "__heap_base") i32 (i32.const 1024))
  (func (export "rank") (param i32) (result i32)
    (loop $again (result i32)
      (try (do (call $work)) (catch_all))
      (br $again)))
  (func $work (loop $spin (br $spin))))
