;; expect: trap
;; Calls a function of another type through the table.
(module
  (import "env" "memory" (memory 1))
  (global (export "__heap_base") i32 (i32.const 1024))
  (table 1 funcref)
  (elem (i32.const 0) $other)
  (func $other (result f32) (f32.const 1))
  (func (export "rank") (param $frame i32) (result i32)
    (call_indirect (param i32) (result i32) (local.get $frame) (i32.const 0))))
