;; expect: trap
;; Calls an empty table slot.
(module
  (import "env" "memory" (memory 1))
  (global (export "__heap_base") i32 (i32.const 1024))
  (table 2 funcref)
  (func (export "rank") (param $frame i32) (result i32)
    (call_indirect (param i32) (result i32) (local.get $frame) (i32.const 1))))
