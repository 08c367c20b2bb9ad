// Our membership among real Serf agents (memberlist 0.2.2): each side lists, probes, suspects, buries and lets go of the other as its own kind.
import { randomBytes } from 'node:crypto';
import test, { type ExecutionContext } from 'ava';
import { eventually } from '../support/mesh.js';
import { type OwnMember, type OwnOptions, poolKey, type SerfAgent, startAgent, startOwn } from '../support/serf.js';

/** What gossip did not bring comes by push/pull, every 15 s in the local profile: two rounds. */
const joinMs = { withinMs: 40_000, everyMs: 50 };
/** Of the local profile: probe interval 1 s; suspicion 3 s with confirmation, 18 s at most without. */
const failureMs = { withinMs: 40_000, everyMs: 50 };

async function startedOwn(t: ExecutionContext, name: string, options: OwnOptions): Promise<OwnMember> {
	const own = await startOwn(name, options);
	t.teardown(() => own.membership.stop());
	return own;
}

function refusals(own: OwnMember): number {
	return Object.values(own.membership.transfer.refused).reduce((sum, count) => sum + count, 0);
}

function happened(own: OwnMember, kind: 'failed' | 'left' | 'suspect' | 'join', name: string): boolean {
	return own.events.some((event) => event.kind === kind && event.member.id === name);
}

const listsAs = (agent: SerfAgent, name: string, status: string) => async (): Promise<boolean> =>
	(await agent.member(name))?.status === status;

// One pool at a time: agents that starve beside two other pools are rightly suspected.
test.serial(
	'a mixed pool: all list all, with tags; probes keep all content; deaths and leaves are seen by both kinds',
	async (t) => {
		const alpha = await startAgent(t, 'alpha', { tag: 'role=agent' });
		const beta = await startAgent(t, 'beta', { join: alpha.address });
		const gamma = await startAgent(t, 'gamma', { join: alpha.address });
		const delta = await startAgent(t, 'delta', { join: beta.address });
		const one = await startedOwn(t, 'one', { seeds: [alpha.address], tags: { role: 'ours' } });
		const two = await startedOwn(t, 'two', { seeds: [beta.address] });
		const three = await startedOwn(t, 'three', { seeds: [one.address] });
		const agents = [alpha, beta, gamma, delta];
		const own = [one, two, three];
		const names = [...agents, ...own].map(({ name }) => name).sort((a, b) => a.localeCompare(b));
		for (const agent of agents)
			await eventually(
				`${agent.name} lists all`,
				async () => {
					const alive = (await agent.members()).filter(({ status }) => status === 'alive').map(({ name }) => name);
					return alive.sort((a, b) => a.localeCompare(b)).join(' ') === names.join(' ');
				},
				joinMs,
			);
		for (const member of own)
			await eventually(`${member.name} lists all`, () => member.membership.liveMembers === names.length, joinMs);
		t.like(await alpha.member('one'), { addr: one.address, tags: { role: 'ours' } });
		t.is(one.membership.member('beta')?.claim.address, beta.address);

		// More than ten probe intervals of a second: each of ours probes on, answers, and nobody is suspected.
		const probes = one.membership.core?.counters.probes ?? 0;
		await eventually('twelve probes', () => (one.membership.core?.counters.probes ?? 0) >= probes + 12, {
			withinMs: 30_000,
			everyMs: 50,
		});
		for (const member of own) {
			t.is(refusals(member), 0, JSON.stringify(member.membership.transfer.refused));
			t.false(member.events.some(({ kind }) => kind === 'suspect' || kind === 'refuted' || kind === 'failed'));
			t.false(member.events.some(({ kind }) => kind === 'packetsBlocked'));
		}
		const acks = one.events.filter((event) => event.kind === 'coordinate' && event.payload.length > 0);
		t.true(acks.length >= 5, `${acks.length} coordinates of agents`);
		for (const agent of agents) t.deepEqual(complaints(agent), [], agent.name);

		two.membership.update({ meta: Uint8Array.of(255, 0x81, 0xa1, 0x61, 0xa1, 0x62) });
		await eventually('new tags are seen', async () => (await delta.member('two'))?.tags['a'] === 'b', joinMs);

		// A graceful leave of either kind is a leave to the other, never a failure.
		await delta.leave();
		await eventually('ours see the agent leave', () => own.every((member) => member.state('delta') === 'left'), joinMs);
		await three.membership.leave();
		await three.membership.stop();
		for (const agent of [alpha, beta, gamma])
			await eventually(`${agent.name} sees ours leave`, listsAs(agent, 'three', 'left'), joinMs);
		t.false(own.some((member) => happened(member, 'failed', 'delta')));

		// One of each kind dies without a word.
		await gamma.kill();
		await two.membership.stop();
		await eventually('ours find the agent dead', () => one.state('gamma') === 'dead', failureMs);
		await eventually('ours find ours dead', () => one.state('two') === 'dead', failureMs);
		t.true(happened(one, 'suspect', 'gamma') && happened(one, 'failed', 'gamma'));
		for (const agent of [alpha, beta])
			for (const dead of ['gamma', 'two'])
				await eventually(`${agent.name} marks ${dead} failed`, listsAs(agent, dead, 'failed'), failureMs);
		t.is(one.state('alpha'), 'alive');
		t.is(one.state('beta'), 'alive');
		t.true(await listsAs(alpha, 'one', 'alive')());
	},
);

/** What an agent found wrong with messages, as its log tells. */
function complaints(agent: SerfAgent): readonly string[] {
	return agent.log.filter((line) => /\[(WARN|ERR)\]/.test(line) && !/Reconnect|join|Join/.test(line));
}

test.serial('an encrypted pool takes who holds the key, by packets and streams, and nobody else', async (t) => {
	const { encrypt, keys } = poolKey(randomBytes(32));
	const alpha = await startAgent(t, 'alpha', { encrypt });
	const one = await startedOwn(t, 'one', { seeds: [alpha.address], keys });
	await eventually('the agent lists us', listsAs(alpha, 'one', 'alive'), joinMs);
	await eventually('we list the agent', () => one.state('alpha') === 'alive', joinMs);
	const open = await startedOwn(t, 'open', { seeds: [alpha.address, one.address] });
	const stranger = await startedOwn(t, 'stranger', {
		seeds: [alpha.address, one.address],
		keys: poolKey(randomBytes(32)).keys,
	});
	await eventually(
		'strangers are refused by cause',
		() => one.membership.transfer.refused.key > 0 && one.membership.transfer.refused.plaintext > 0,
		joinMs,
	);
	await eventually('twelve probes', () => (one.membership.core?.counters.probes ?? 0) >= 12, {
		withinMs: 30_000,
		everyMs: 50,
	});
	t.is(one.membership.core?.counters.probesFailed, 0);
	t.is(one.membership.liveMembers, 2);
	t.is(open.membership.liveMembers, 1);
	t.is(stranger.membership.liveMembers, 1);
	t.deepEqual((await alpha.members()).map(({ name }) => name).sort(), ['alpha', 'one']);
	await alpha.kill();
	await eventually('the agent is dead', () => one.state('alpha') === 'dead', failureMs);
});

test.serial('an agent joins by us; without compression; who returns after a death is taken back', async (t) => {
	const one = await startedOwn(t, 'one', { compress: false });
	const alpha = await startAgent(t, 'alpha', { join: one.address, more: ['-disable-compression'] });
	const beta = await startAgent(t, 'beta', { join: one.address });
	await eventually('the agents list each other', listsAs(alpha, 'beta', 'alive'), joinMs);
	await eventually('we list both', () => one.membership.liveMembers === 3, joinMs);
	t.true(await listsAs(beta, 'one', 'alive')());
	const two = await startOwn('two', { seeds: [alpha.address] });
	await eventually('the agent lists it', listsAs(beta, 'two', 'alive'), joinMs);
	await two.membership.stop();
	await eventually('it is failed', listsAs(beta, 'two', 'failed'), failureMs);
	await eventually('for us too', () => one.state('two') === 'dead', failureMs);
	// Its incarnation is lost: it hears of its death from whom it joins, and refutes.
	await startedOwn(t, 'two', { seeds: [alpha.address] });
	await eventually('it is back', listsAs(beta, 'two', 'alive'), failureMs);
	await eventually('for us too', () => one.state('two') === 'alive', failureMs);
	t.true((one.membership.member('two')?.incarnation ?? 0) > 1);
});
