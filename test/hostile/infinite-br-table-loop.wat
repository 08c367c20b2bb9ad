;; expect: spent
;; Goes back through a branch table, and grows no stack.
(module
  (import "env" "memory" (memory 1))
  (global (export "__heap_base") i32 (i32.const 1024))
  (func (export "rank") (param $frame i32) (result i32)
    (loop $spin
      (block $out
        (br_table $spin $spin $out $spin (i32.load offset=20 (local.get $frame)))))
    (loop $again (br $again))
    i32.const 0))
