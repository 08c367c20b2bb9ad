;; expect: trap
;; Converts a NaN to an integer with the trapping instruction.
(module
  (import "env" "memory" (memory 1))
  (global (export "__heap_base") i32 (i32.const 1024))
  (func (export "rank") (param $frame i32) (result i32)
    (i32.trunc_f32_s (f32.div (f32.const 0) (f32.const 0)))))
