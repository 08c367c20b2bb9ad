// Owns the judgement whether a mesh is well: what each node says of itself, held against the others and against replicated state. Pure; asking the
// nodes is MeshOperations'. A `fail` is something to mend now, a `warn` something to know.
import type { NodeStatus } from '../main/fabric.js';
import type { NodeView } from './nodes.js';

export interface MeshFinding {
	readonly name: string;
	readonly status: 'ok' | 'warn' | 'fail';
	readonly detail: string;
	readonly hint: string;
}

/** A node, and what it answered. */
export interface CheckedNode {
	readonly node: NodeView;
	/** Undefined when it is away or did not answer. */
	readonly answer: NodeStatus | undefined;
	/** Why a node that is there did not answer. */
	readonly error: string | undefined;
}

/** Certificates, tokens and logs bear this much; beyond the second bound nodes refuse each other. */
const SKEW_WARN_MS = 1000;
const SKEW_FAIL_MS = 60_000;
/** A certificate is renewed at half of its life; with less than this left renewals have failed for long. */
const LIFE_LEFT_WARN = 0.25;

const ok = (name: string, detail: string): MeshFinding => ({ name, status: 'ok', detail, hint: '' });

export function judgeMesh(nodes: readonly CheckedNode[], quorum: boolean, nowMs: number): readonly MeshFinding[] {
	const answered = nodes.flatMap(({ node, answer }) => (answer === undefined ? [] : [{ name: node.name, answer }]));
	return [
		quorumFinding(quorum, nodes, answered),
		membersFinding(nodes),
		answersFinding(nodes),
		viewsFinding(nodes, answered),
		versionsFinding(answered),
		clocksFinding(answered),
		certificatesFinding(answered, nowMs),
		readinessFinding(answered),
	];
}

interface Answered {
	readonly name: string;
	readonly answer: NodeStatus;
}

function quorumFinding(quorum: boolean, nodes: readonly CheckedNode[], answered: readonly Answered[]): MeshFinding {
	const name = 'quorum';
	if (!quorum)
		return {
			name,
			status: 'fail',
			detail: 'no quorum of coordinators: reads are stale, writes are refused',
			hint: 'bring coordinators back; `infermesh raft status` lists them',
		};
	const nameOf = (id: string): string => nodes.find(({ node }) => node.id === id)?.node.name ?? id;
	const leaders = new Set(answered.map(({ answer }) => answer.leader).filter((id) => id !== ''));
	const named = [...leaders].map(nameOf).sort();
	if (named.length <= 1) return ok(name, `there is one${named[0] === undefined ? '' : `, ${named[0]} leads`}`);
	return {
		name,
		status: 'warn',
		detail: `nodes name different leaders: ${named.join(', ')}`,
		hint: 'normal for a moment after a change of leader; ask again',
	};
}

/** Gossip against replicated state: both should know the same nodes. */
function membersFinding(nodes: readonly CheckedNode[]): MeshFinding {
	const name = 'members';
	const silent = nodes.filter(({ node }) => node.record !== undefined && node.health !== 'alive');
	const unregistered = nodes.filter(({ node }) => node.record === undefined && node.health === 'alive');
	const away = nodes.filter(({ node }) => node.record === undefined && ['failed', 'suspect'].includes(node.health));
	const faults = [
		...silent.map(({ node }) => `${node.name} is registered but ${node.health} by gossip`),
		...unregistered.map(({ node }) => `${node.name} gossips but is not registered`),
	];
	if (faults.length > 0)
		return {
			name,
			status: 'fail',
			detail: faults.join('; '),
			hint: 'a firewall that lets only one of UDP gossip and TCP through, or a node without a way to the coordinators',
		};
	const gone = away.map(({ node }) => `${node.name} is ${node.health}`);
	if (gone.length > 0)
		return {
			name,
			status: 'warn',
			detail: gone.join('; '),
			hint: 'start it, or `infermesh nodes remove` it if it is gone for good',
		};
	const present = nodes.filter(({ node }) => node.record !== undefined).length;
	return ok(name, `${present} by gossip and in replicated state`);
}

function answersFinding(nodes: readonly CheckedNode[]): MeshFinding {
	const name = 'agents';
	const mute = nodes.filter(({ error }) => error !== undefined);
	if (mute.length === 0) return ok(name, `${nodes.filter(({ answer }) => answer !== undefined).length} answer`);
	return {
		name,
		status: 'fail',
		detail: mute.map(({ node, error }) => `${node.name}: ${error}`).join('; '),
		hint: 'its agent port is not reached from the node that was asked: see its log and the network between',
	};
}

/** What each node sees by gossip, against all that are there. */
function viewsFinding(nodes: readonly CheckedNode[], answered: readonly Answered[]): MeshFinding {
	const name = 'views';
	const there = nodes.filter(({ answer }) => answer !== undefined).map(({ node }) => node);
	const blind = answered.flatMap(({ name: from, answer }) => {
		const unseen = there.filter(({ id }) => !answer.alive.includes(id)).map((node) => node.name);
		return unseen.length === 0 ? [] : [`${from} does not see ${unseen.join(', ')}`];
	});
	if (blind.length === 0) return ok(name, 'every node sees all that answer');
	return {
		name,
		status: 'fail',
		detail: blind.join('; '),
		hint: 'a partition: `infermesh topology` shows which links do not get through',
	};
}

function versionsFinding(answered: readonly Answered[]): MeshFinding {
	const name = 'versions';
	const byVersion = Map.groupBy(answered, ({ answer }) => answer.version);
	const detail = [...byVersion]
		.map(([version, all]) => `${version} on ${all.map((one) => one.name).join(', ')}`)
		.join('; ');
	if (byVersion.size <= 1) return ok(name, detail === '' ? 'none answered' : detail);
	return { name, status: 'warn', detail, hint: 'normal during a rolling upgrade; two versions one apart run together' };
}

function clocksFinding(answered: readonly Answered[]): MeshFinding {
	const name = 'clocks';
	/** What is certain of it, whatever the round trip has hidden. */
	const skewed = answered
		.map((one) => ({
			name: one.name,
			skewMs: one.answer.skewMs,
			leastMs: Math.max(0, Math.abs(one.answer.skewMs) - one.answer.skewErrorMs),
		}))
		.sort((a, b) => b.leastMs - a.leastMs);
	const [worst] = skewed;
	if (worst === undefined) return ok(name, 'none answered');
	if (worst.leastMs < SKEW_WARN_MS) return ok(name, `within ${Math.ceil(worst.leastMs)} ms of the node that was asked`);
	const off = skewed.filter(({ leastMs }) => leastMs >= SKEW_WARN_MS);
	return {
		name,
		status: worst.leastMs >= SKEW_FAIL_MS ? 'fail' : 'warn',
		detail: off
			.map((one) => `${one.name} is ${Math.round(Math.abs(one.skewMs))} ms ${one.skewMs > 0 ? 'ahead' : 'behind'}`)
			.join('; '),
		hint: 'let NTP or chrony set the clocks: certificates and tokens are judged by them',
	};
}

function certificatesFinding(answered: readonly Answered[], nowMs: number): MeshFinding {
	const name = 'certificates';
	const lives = answered
		.map((one) => {
			const { beginsMs, expiresMs } = one.answer.certificate;
			return { name: one.name, leftMs: expiresMs - nowMs, share: (expiresMs - nowMs) / (expiresMs - beginsMs) };
		})
		.sort((a, b) => a.leftMs - b.leftMs);
	const [first] = lives;
	if (first === undefined) return ok(name, 'none answered');
	const late = lives.filter(({ share }) => share < LIFE_LEFT_WARN);
	if (late.length === 0) return ok(name, `the first expires in ${hours(first.leftMs)}, on ${first.name}`);
	return {
		name,
		status: first.leftMs <= 0 ? 'fail' : 'warn',
		detail: late
			.map((one) => `${one.name}'s ${one.leftMs <= 0 ? 'has expired' : `expires in ${hours(one.leftMs)}`}`)
			.join('; '),
		hint: 'renewals fail: see that node’s log, and whether a node with the authority is up',
	};
}

function readinessFinding(answered: readonly Answered[]): MeshFinding {
	const name = 'readiness';
	const lines = answered.flatMap((one) => {
		const reasons = [...one.answer.notReady, ...one.answer.degraded];
		return reasons.length === 0 ? [] : [`${one.name}: ${reasons.join(', ')}`];
	});
	if (lines.length === 0) return ok(name, 'all that answer are ready');
	return { name, status: 'warn', detail: lines.join('; '), hint: '/readyz of the node says the same' };
}

function hours(ms: number): string {
	const minutes = Math.floor(ms / 60_000);
	return minutes < 120 ? `${minutes} min` : `${Math.floor(minutes / 60)} h`;
}
