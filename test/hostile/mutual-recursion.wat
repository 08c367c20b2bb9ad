;; expect: stack
;; Two functions call each other.
(module
  (import "env" "memory" (memory 1))
  (global (export "__heap_base") i32 (i32.const 1024))
  (func $even (param $n i32) (result i32) (i32.add (call $odd (local.get $n)) (i32.const 1)))
  (func $odd (param $n i32) (result i32) (i32.sub (call $even (local.get $n)) (i32.const 1)))
  (func (export "rank") (param $frame i32) (result i32)
    (call $even (local.get $frame))))
