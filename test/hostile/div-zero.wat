;; expect: trap
;; Divides by the row count less itself.
(module
  (import "env" "memory" (memory 1))
  (global (export "__heap_base") i32 (i32.const 1024))
  (func (export "rank") (param $frame i32) (result i32)
    (i32.div_u (i32.const 1) (i32.sub (i32.load offset=20 (local.get $frame)) (i32.load offset=20 (local.get $frame))))))
