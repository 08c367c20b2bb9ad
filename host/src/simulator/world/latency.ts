// Owns the choice of a latency model for a group of engines.
import type { LatencyModel } from '../../engine/model/latency.js';
import { PolynomialLatency } from '../../engine/model/polynomial.js';
import type { EngineProfile } from '../../engine/model/profiles.js';
import { RooflineLatency } from '../../engine/model/roofline.js';
import { TableLatency } from '../../engine/model/table.js';
import type { LatencySpec } from '../spec.js';

/** Throws IM_ENGINE_OPTIONS_INVALID for a table that is none. */
export function latencyOf(spec: LatencySpec, profile: EngineProfile): LatencyModel {
	if (spec.kind === 'roofline') return new RooflineLatency({ ...profile.roofline, ...spec.constants });
	return spec.kind === 'polynomial' ? new PolynomialLatency(spec) : new TableLatency(spec);
}
