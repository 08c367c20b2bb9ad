;; expect: stack
;; Calls itself through the table.
(module
  (import "env" "memory" (memory 1))
  (global (export "__heap_base") i32 (i32.const 1024))
  (type $hook (func (param i32) (result i32)))
  (table 1 funcref)
  (elem (i32.const 0) $again)
  (func $again (type $hook) (i32.add (call_indirect (type $hook) (local.get 0) (i32.const 0)) (i32.const 1)))
  (func (export "rank") (param $frame i32) (result i32)
    (call_indirect (type $hook) (local.get $frame) (i32.const 0))))
