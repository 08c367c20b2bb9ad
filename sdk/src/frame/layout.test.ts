import { MeshError } from '@infermesh/proto';
import test from 'ava';
import * as fc from 'fast-check';
import * as abi from '../gen/abi.js';
import { type FrameLayout, type FrameOptions, layoutFrame, placeFrame, writeHeader } from './layout.js';

const options: fc.Arbitrary<FrameOptions> = fc.record({
	kind: fc.constantFrom(abi.StrategyKind.inference, abi.StrategyKind.training),
	rowCapacity: fc.integer({ min: 1, max: 12_000 }),
	columnIds: fc.array(fc.nat(abi.COLUMN_COUNT - 1), { maxLength: 60 }),
	hitsCapacity: fc.nat(abi.HITS_MAX),
	configSlots: fc.nat(abi.CONFIG_SLOTS_MAX),
	stateBytes: fc.nat(abi.STATE_BYTES_MAX),
	logBytes: fc.nat(abi.LOG_BYTES_MAX),
	outcomesCapacity: fc.nat(abi.OUTCOMES_MAX),
	planRanksCapacity: fc.nat(4096),
	linksCapacity: fc.nat(1000),
});

function sections(layout: FrameLayout): { offset: number; bytes: number }[] {
	const found = [
		{ offset: 0, bytes: abi.HEADER_BYTES },
		{ offset: layout.requestOffset, bytes: abi.REQUEST_BYTES },
		{ offset: layout.outputOffset, bytes: abi.OUTPUT_BYTES },
		{ offset: layout.columnsOffset, bytes: abi.COLUMN_TABLE_ENTRIES * 4 },
		{ offset: layout.configOffset, bytes: layout.configSlots * 4 },
		{ offset: layout.eligibilityOffset, bytes: layout.eligibilityBytes },
		{ offset: layout.hitsOffset, bytes: layout.hitsCapacity * abi.PREFIX_HIT_BYTES },
		{ offset: layout.scratchOffset, bytes: layout.scratchBytes },
		{ offset: layout.stateOffset, bytes: layout.stateBytes },
		{ offset: layout.logOffset, bytes: layout.logBytes },
		{ offset: layout.outcomesOffset, bytes: layout.outcomesCapacity * abi.OUTCOME_BYTES },
		{ offset: layout.linksOffset, bytes: layout.linksCapacity * abi.LINK_LEVEL_BYTES },
		...layout.columnIds.map((id) => ({ offset: layout.columnOffsets[id] ?? 0, bytes: layout.rowCapacity * 4 })),
	];
	if (layout.planRequestOffset !== 0) {
		found.push({ offset: layout.planRequestOffset, bytes: abi.PLAN_REQUEST_BYTES });
		found.push({ offset: layout.planOutputOffset, bytes: abi.PLAN_OUTPUT_BYTES + layout.planRanksCapacity * 4 });
	}
	return found.filter((section) => section.bytes > 0).sort((a, b) => a.offset - b.offset);
}

test('sections are aligned, never overlap and fill no more than the frame', (t) => {
	fc.assert(
		fc.property(options, (given) => {
			const layout = layoutFrame(given);
			let end = 0;
			for (const section of sections(layout)) {
				if (section.offset % abi.SECTION_ALIGN_BYTES !== 0 || section.offset < end) return false;
				end = section.offset + section.bytes;
			}
			return end <= layout.frameBytes && layout.rowCapacity % 16 === 0 && layout.rowCapacity >= given.rowCapacity;
		}),
		{ numRuns: 300 },
	);
	t.pass();
});

test('the header repeats the layout and nothing beyond header and column table is written', (t) => {
	fc.assert(
		fc.property(options, fc.nat(70_000), (given, heapBase) => {
			const layout = layoutFrame(given);
			const { baseBytes, pages } = placeFrame(layout, heapBase);
			const memory = new Uint8Array(pages * 65_536).fill(0xa5);
			writeHeader(layout, memory.buffer, baseBytes, {
				rowCount: 1,
				meshSeedLow: 7,
				meshSeedHigh: 9,
				stateEpoch: 3,
				tableEpoch: 4,
			});
			const words = new Uint32Array(memory.buffer, baseBytes, abi.HEADER_BYTES / 4);
			t.is(words[abi.HEADER_MAGIC_WORD], abi.FRAME_MAGIC);
			t.is(words[abi.HEADER_FRAME_BYTES_WORD], layout.frameBytes);
			t.is(words[abi.HEADER_STATE_OFFSET_WORD], layout.stateOffset);
			t.is(words[abi.HEADER_MESH_SEED_WORD + 1], 9);
			const table = new Uint32Array(memory.buffer, baseBytes + layout.columnsOffset, abi.COLUMN_TABLE_ENTRIES);
			t.deepEqual([...table], layout.columnOffsets);
			t.true(memory.subarray(0, baseBytes).every((byte) => byte === 0xa5));
			t.is(memory[baseBytes + layout.requestOffset], 0xa5);
			t.is(memory[baseBytes + layout.frameBytes - 1], 0xa5);
		}),
		{ numRuns: 20 },
	);
});

test('columns of a large pool do not share a cache-set phase', (t) => {
	const layout = layoutFrame({
		kind: abi.StrategyKind.inference,
		rowCapacity: 10_240,
		columnIds: [10, 11, 12, 13],
		hitsCapacity: 0,
		configSlots: 0,
		stateBytes: 0,
		logBytes: 0,
		outcomesCapacity: 0,
	});
	t.is(new Set(layout.columnIds.map((id) => (layout.columnOffsets[id] ?? 0) % 4096)).size, 4);
});

test('sizes beyond the limits are refused by name', (t) => {
	const good = fc.sample(options, { numRuns: 1, seed: 1 })[0];
	t.truthy(good);
	const error = t.throws(() => layoutFrame({ ...(good as FrameOptions), stateBytes: abi.STATE_BYTES_MAX + 1 }), {
		instanceOf: MeshError,
	});
	t.is(error.code, 'IM_FRAME_LAYOUT');
	t.is(error.where, 'stateBytes');
});
