import type { LinkEstimate } from '@infermesh/fabric';
import {
	COLUMN_BANDWIDTH_MBPS,
	COLUMN_LINK_CLASS,
	COLUMN_RTT_AT_MS,
	COLUMN_RTT_BASIS,
	COLUMN_RTT_MS,
	LinkClass,
	RttBasis,
} from '@infermesh/sdk';
import test from 'ava';
import { DistanceColumns } from './distance.js';
import { createFleetTable, FleetTableWriter } from './table.js';

const T0 = 1_000_000;
const link = (over: Partial<LinkEstimate>): LinkEstimate => ({
	basis: 'unknown',
	reach: 'reached',
	rttMs: undefined,
	ageMs: undefined,
	error: undefined,
	bandwidthBytesPerS: undefined,
	linkClass: 'same_region',
	...over,
});

function row() {
	const table = new FleetTableWriter(createFleetTable(8));
	table.resetRow(3);
	table.publish();
	return {
		table,
		distance: new DistanceColumns(table, 3),
		seen: () => ({
			rttMs: Math.round(table.getF32(COLUMN_RTT_MS, 3) * 100) / 100,
			basis: table.getU32(COLUMN_RTT_BASIS, 3),
			atMs: table.getU32(COLUMN_RTT_AT_MS, 3),
			linkClass: table.getU32(COLUMN_LINK_CLASS, 3),
		}),
	};
}

test('a measured round trip stands in the row with its time and class; an estimate does once it is sure enough', (t) => {
	const { distance, seen } = row();
	distance.linked(link({ basis: 'estimated', rttMs: 80, ageMs: 0, error: 1.2 }), T0);
	t.deepEqual(seen(), { rttMs: 0, basis: RttBasis.unknown, atMs: 0, linkClass: LinkClass.same_region });
	distance.linked(link({ basis: 'estimated', rttMs: 80, ageMs: 2000, error: 0.2 }), T0);
	t.like(seen(), { rttMs: 80, basis: RttBasis.estimated, atMs: T0 - 2000 });
	distance.linked(link({ basis: 'measured', rttMs: 70, ageMs: 100 }), T0);
	t.like(seen(), { rttMs: 70, basis: RttBasis.measured, atMs: T0 - 100 });
});

test('small movements dirty no row; large ones, and old times, do', (t) => {
	const { table, distance, seen } = row();
	const after = (rttMs: number, atMs: number): number => {
		distance.linked(link({ basis: 'measured', rttMs, ageMs: 0, bandwidthBytesPerS: 100e6 }), atMs);
		return table.publish();
	};
	t.is(after(40, T0), 1);
	for (const [rttMs, sinceMs] of [
		[40.1, 1000],
		[43.9, 2000],
		[36.2, 4999],
	] as const)
		t.is(after(rttMs, T0 + sinceMs), 0, `${rttMs} ms after ${sinceMs} ms`);
	t.is(after(44.1, T0 + 4999), 1);
	t.is(seen().rttMs, 44.1);
	t.is(after(44.1, T0 + 5000), 1, 'the time of the measurement has moved');
	t.is(table.getF32(COLUMN_BANDWIDTH_MBPS, 3), 100);
});

test('health checks stand in where the fabric knows nothing, and where the node does not answer this one', (t) => {
	const { distance, seen } = row();
	distance.checked(400, T0);
	t.is(seen().basis, RttBasis.unknown, 'the first one opened the connection');
	distance.checked(43, T0);
	t.like(seen(), { rttMs: 43, basis: RttBasis.checked, atMs: T0 });
	distance.linked(link({ basis: 'measured', rttMs: 12, ageMs: 0 }), T0);
	distance.checked(43, T0 + 1);
	t.like(seen(), { rttMs: 12, basis: RttBasis.measured });
	distance.linked(link({ basis: 'unreachable', rttMs: 12, ageMs: 9000 }), T0 + 2);
	t.like(seen(), { rttMs: 43, basis: RttBasis.unreachable });
});

test('a node that is lost to the fabric and has no checks is at no distance that is known', (t) => {
	const { distance, seen } = row();
	distance.linked(link({ basis: 'measured', rttMs: 12, ageMs: 0 }), T0);
	distance.linked(link({ basis: 'unreachable', rttMs: 12, ageMs: 9000 }), T0 + 9000);
	t.like(seen(), { rttMs: 0, basis: RttBasis.unreachable, atMs: 0 });
});
