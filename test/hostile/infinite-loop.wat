;; expect: spent
;; A loop of nothing: only its header can be charged.
(module
  (import "env" "memory" (memory 1))
  (global (export "__heap_base") i32 (i32.const 1024))
  (func (export "rank") (param $frame i32) (result i32)
    (loop $spin (br $spin))
    i32.const 0))
