;; expect: stack
;; Calls itself; the engine would stop it at a depth that depends on the caller.
(module
  (import "env" "memory" (memory 1))
  (global (export "__heap_base") i32 (i32.const 1024))
  (func $again (param $frame i32) (result i32) (i32.add (call $again (local.get $frame)) (i32.const 1)))
  (func (export "rank") (param $frame i32) (result i32)
    (call $again (local.get $frame))))
