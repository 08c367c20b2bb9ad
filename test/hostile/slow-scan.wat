;; expect: spent
;; Compares every row with every row, many times over: ends, but not within any budget.
(module
  (import "env" "memory" (memory 1))
  (global (export "__heap_base") i32 (i32.const 1024))
  (func (export "rank") (param $frame i32) (result i32)
    (local $a i32) (local $b i32)
    (loop $outer
      (local.set $b (i32.const 0))
      (loop $inner
        (if (i32.lt_u (local.get $b) (i32.const 100000))
          (then
            (local.set $b (i32.add (local.get $b) (i32.const 1)))
            (br $inner))))
      (local.set $a (i32.add (local.get $a) (i32.const 1)))
      (br_if $outer (i32.lt_u (local.get $a) (i32.const 1000))))
    i32.const 0))
