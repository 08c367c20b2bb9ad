;; expect: refused IM_ADMISSION_RELAXED_SIMD
;; Its answer depends on the processor.
(module
  (import "env" "memory" (memory 1))
  (global (export "__heap_base") i32 (i32.const 1024))
  (func (export "rank") (param i32) (result i32)
    (i32x4.extract_lane 0 (f32x4.relaxed_madd (f32x4.splat (f32.const 0.1)) (f32x4.splat (f32.const 10)) (f32x4.splat (f32.const -1))))))
