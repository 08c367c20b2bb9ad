;; expect: spent
;; A loop that carries its counter as a block parameter.
(module
  (import "env" "memory" (memory 1))
  (global (export "__heap_base") i32 (i32.const 1024))
  (func (export "rank") (param $frame i32) (result i32)
    (i32.const 0)
    (loop $spin (param i32)
      i32.const 1
      i32.add
      br $spin)
    unreachable))
