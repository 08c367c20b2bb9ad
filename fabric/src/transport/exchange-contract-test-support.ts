// Owns the contract of ExchangePort between nodes as a suite: one test per sentence, run over every transport by the same words.
import test, { type ExecutionContext } from 'ava';
import type { ExchangePort, OnExchange } from '../effects/packets.js';
import { readCertificate } from '../identity/certificate.js';
import {
	type CertificateRecipe,
	type Forged,
	forge,
	forgeRoot,
	testAuthority,
	testDomain,
	testIdentity,
} from '../identity/identity-test-support.js';
import type { Identity } from '../identity/source.js';
import { nodeUuidOf, parseSpiffeId } from '../identity/spiffe-id.js';
import type { RefusalReason } from './counters.js';
import type { TransportContext } from './peer.js';
import { type TestNode, testNode } from './transport-test-support.js';

/** The bounds that the contract sets; the rest are a transport's own. */
export interface SubjectOptions {
	readonly requestBytesMax?: number;
	readonly answerTimeoutMs?: number;
	readonly answersMax?: number;
}

/** A transport under test. */
export interface ExchangeSubject {
	readonly name: string;
	open(context: TransportContext, options?: SubjectOptions): ExchangePort;
	/** An address at which something listens and never says a word, and the code by which that is told. */
	silent(t: ExecutionContext): Promise<{ readonly address: string; readonly code: string }>;
	/** Connects as `caller`, sends `bytes` where a question belongs, and resolves when the answering side has ended it. */
	sendRaw(caller: TestNode, address: string, bytes: Uint8Array): Promise<void>;
}

export const ask = { timeoutMs: 30_000, answerMaxBytes: 1024 * 1024 };
export const reverse: OnExchange = async (_from, request) => request.toReversed();

export const one = Uint8Array.of(1);

/** Of the identities that `answering` makes. */
export const authority = await testAuthority();

export interface Answering {
	readonly address: string;
	readonly server: TestNode;
	readonly caller: TestNode;
	readonly listening: ExchangePort;
	readonly exchange: ExchangePort;
}

/** Two nodes of one mesh, the one answering at `address`. */
export async function answering(
	t: ExecutionContext,
	subject: Pick<ExchangeSubject, 'open'>,
	onExchange: OnExchange,
	options: SubjectOptions & { readonly server?: Identity; readonly caller?: Identity } = {},
): Promise<Answering> {
	const server = testNode(options.server ?? (await testIdentity(authority)));
	const caller = testNode(options.caller ?? (await testIdentity(authority)));
	const listening = subject.open(server.context, options);
	const exchange = subject.open(caller.context);
	t.teardown(() => Promise.all([exchange.close(), listening.close()]));
	const address = await listening.listen('127.0.0.1:0', onExchange);
	return { address, server, caller, listening, exchange };
}

/** A handler that holds every question until it is let go. */
export function holding(): { readonly handler: OnExchange; readonly begun: Promise<void>; letGo(): void } {
	const begun = Promise.withResolvers<void>();
	const held = Promise.withResolvers<void>();
	return {
		begun: begun.promise,
		letGo: held.resolve,
		handler: async (_from, request) => {
			begun.resolve();
			await held.promise;
			return request;
		},
	};
}

/** Resolves when `holds` does; the test's own time limit ends it otherwise. */
export async function until(holds: () => boolean): Promise<void> {
	while (!holds()) await new Promise((resolve) => setTimeout(resolve, 5));
}

/** An identity by the recipe, whether good or not. */
async function identityBy(recipe: CertificateRecipe, signer: Forged, trusted: Forged): Promise<Identity> {
	const leaf = await forge(recipe, signer);
	const certificate = readCertificate(leaf.der);
	const id = parseSpiffeId(certificate?.uris[0] ?? '');
	if (certificate === undefined || id === undefined) throw new Error('the recipe gives no certificate');
	return {
		svid: { id, nodeUuid: nodeUuidOf(id), leaf: certificate, notAfterMs: certificate.notAfterMs },
		chain: [leaf.der],
		privateKey: leaf.keys.privateKey,
		bundle: { trustDomain: testDomain, roots: [trusted.der] },
	};
}

interface BadIdentity {
	readonly title: string;
	readonly recipe: CertificateRecipe;
	readonly byStranger?: boolean;
	/** The reason when it comes, and when it answers, where that differs. */
	readonly code: RefusalReason;
	readonly answeringCode?: RefusalReason;
}

const nodeUri = (domain: string, last: number): string =>
	`spiffe://${domain}/node/00000000-0000-4000-8000-00000000000${last}`;

const badIdentities: readonly BadIdentity[] = [
	{
		title: 'another trust domain',
		recipe: { uris: [nodeUri('other.test', 1)] },
		code: 'IM_IDENTITY_WRONG_TRUST_DOMAIN',
	},
	{
		title: 'two URI names',
		recipe: { uris: [nodeUri(testDomain, 1), nodeUri(testDomain, 2)] },
		code: 'IM_IDENTITY_URI_COUNT',
	},
	{ title: 'an expired certificate', recipe: { notAfterMs: Date.now() - 1000 }, code: 'IM_IDENTITY_EXPIRED' },
	{ title: 'a root that nobody trusts', recipe: {}, byStranger: true, code: 'IM_IDENTITY_UNTRUSTED' },
	{
		title: 'a client’s certificate',
		recipe: { uris: [`spiffe://${testDomain}/client/somebody`] },
		code: 'IM_TRANSPORT_NOT_A_NODE',
		answeringCode: 'IM_IDENTITY_UNEXPECTED_PEER',
	},
];

export function registerExchangeContract(subject: ExchangeSubject): void {
	const sentence = (title: string, run: (t: ExecutionContext) => Promise<void>): void =>
		test(`${subject.name}: ${title}`, run);

	sentence('a question gets its answer, of any size up to the bound; each side knows the other', async (t) => {
		const peers: string[] = [];
		const { address, caller, server, exchange } = await answering(t, subject, async (from, request, peer) => {
			peers.push(peer ?? '');
			t.regex(from, /^127\.0\.0\.1:\d+$/);
			return request.toReversed();
		});
		const node = server.nodeUuid;
		const small = await exchange.exchange(address, Uint8Array.of(1, 2, 3), ask);
		t.deepEqual(small, { bytes: Uint8Array.of(3, 2, 1), node });
		t.deepEqual(await exchange.exchange(address, new Uint8Array(0), ask), { bytes: new Uint8Array(0), node });
		const large = new Uint8Array(1024 * 1024).map((_, at) => at & 0xff);
		const { bytes } = await exchange.exchange(address, large, { ...ask, expectedNode: node });
		t.deepEqual(bytes, large.toReversed());
		t.deepEqual(peers, [caller.nodeUuid, caller.nodeUuid, caller.nodeUuid]);
	});

	sentence('an answer over the bound, a question over the bound and another node are refused by name', async (t) => {
		const { address, server, exchange } = await answering(t, subject, reverse, { requestBytesMax: 1000 });
		const small = { ...ask, answerMaxBytes: 10 };
		await t.throwsAsync(exchange.exchange(address, new Uint8Array(11), small), {
			code: 'IM_TRANSPORT_MESSAGE_TOO_LARGE',
		});
		await t.throwsAsync(exchange.exchange(address, new Uint8Array(1001), ask), { code: 'IM_TRANSPORT_CLOSED' });
		t.is(server.counters.refused('IM_TRANSPORT_MESSAGE_TOO_LARGE'), 1);
		const other = { ...ask, expectedNode: '00000000-0000-4000-8000-000000000000' };
		await t.throwsAsync(exchange.exchange(address, one, other), { code: 'IM_IDENTITY_UNEXPECTED_PEER' });
		const short = { ...ask, timeoutMs: 300 };
		await t.throwsAsync(exchange.exchange('127.0.0.1:1', one, short), { code: 'IM_TRANSPORT_UNREACHABLE' });
		await t.throwsAsync(exchange.exchange('nonsense', one, ask), { code: 'IM_TRANSPORT_ADDRESS' });
		t.deepEqual((await exchange.exchange(address, one, ask)).bytes, one, 'and all of that harmed nothing');
	});

	sentence('time bounds the whole exchange: no handshake, no answer', async (t) => {
		const { promise: never } = Promise.withResolvers<Uint8Array>();
		const { address, exchange } = await answering(t, subject, async (_from, request) =>
			request.length === 0 ? request : never,
		);
		const short = { ...ask, timeoutMs: 300 };
		// A connection that is kept is made beforehand, so that it is the answer that is late.
		await exchange.exchange(address, new Uint8Array(0), ask);
		await t.throwsAsync(exchange.exchange(address, one, short), { code: 'IM_TRANSPORT_TIMEOUT' });
		const silent = await subject.silent(t);
		await t.throwsAsync(exchange.exchange(silent.address, one, short), { code: silent.code });
	});

	sentence('an answer that does not come is given up at the answering side too', async (t) => {
		const { promise: never } = Promise.withResolvers<Uint8Array>();
		const { address, server, exchange } = await answering(t, subject, async () => never, { answerTimeoutMs: 200 });
		await t.throwsAsync(exchange.exchange(address, one, ask), { code: 'IM_TRANSPORT_CLOSED' });
		t.is(server.counters.refused('IM_TRANSPORT_TIMEOUT'), 1);
	});

	sentence('a handler that fails gives no answer; the next exchange works', async (t) => {
		let first = true;
		const { address, exchange } = await answering(t, subject, async (_from, request) => {
			if (!first) return request;
			first = false;
			throw new Error('not today');
		});
		await t.throwsAsync(exchange.exchange(address, one, ask), { code: 'IM_TRANSPORT_CLOSED' });
		t.deepEqual((await exchange.exchange(address, one, ask)).bytes, one);
	});

	sentence('more questions than are answered at once: one too many is refused, the others are not', async (t) => {
		const held = holding();
		const { address, server, exchange } = await answering(t, subject, held.handler, { answersMax: 1 });
		const first = exchange.exchange(address, one, ask);
		await held.begun;
		await t.throwsAsync(exchange.exchange(address, one, ask), { code: 'IM_TRANSPORT_CLOSED' });
		t.is(server.counters.refused('IM_TRANSPORT_CONNECTIONS_MAX'), 1);
		held.letGo();
		t.deepEqual((await first).bytes, one);
		t.deepEqual((await exchange.exchange(address, one, ask)).bytes, one);
	});

	sentence('a peer that sends half a frame, or more than one, or nothing, is ended and harms nobody', async (t) => {
		let seen = 0;
		const counting: OnExchange = async (_from, request) => {
			seen++;
			return request;
		};
		const { address, caller, exchange } = await answering(t, subject, counting, { answerTimeoutMs: 300 });
		for (const bytes of [[], [0, 0], [0, 0, 0, 9, 1], [0, 0, 0, 1, 7, 8], [0xff, 0xff, 0xff, 0xff, 1]])
			await subject.sendRaw(caller, address, Uint8Array.from(bytes));
		t.is(seen, 0);
		t.deepEqual((await exchange.exchange(address, one, ask)).bytes, one);
	});

	for (const { title, recipe, byStranger, code, answeringCode } of badIdentities) {
		sentence(`${title}: who comes with it is refused, and who answers with it is not asked`, async (t) => {
			const [root, stranger] = [await forgeRoot(), await forgeRoot()];
			const good = await identityBy({}, root, root);
			const bad = await identityBy(recipe, byStranger === true ? stranger : root, root);
			let seen = 0;
			const counting: OnExchange = async (_from, request) => {
				seen++;
				return request;
			};
			const coming = await answering(t, subject, counting, { server: good, caller: bad });
			await t.throwsAsync(coming.exchange.exchange(coming.address, one, ask), { code: 'IM_TRANSPORT_CLOSED' });
			t.is(coming.server.counters.refused(code), 1);
			const asked = await answering(t, subject, counting, { server: bad, caller: good });
			const reason = answeringCode ?? code;
			await t.throwsAsync(asked.exchange.exchange(asked.address, one, ask), { code: reason });
			t.is(asked.caller.counters.failed(reason), 1);
			t.is(seen, 0);
		});
	}

	for (const side of ['server', 'caller'] as const)
		sentence(
			`a revoked node, known to the ${side}: what is under way ends, and it is refused from then on`,
			async (t) => {
				const held = holding();
				const pair = await answering(t, subject, held.handler);
				const { address, server, caller, exchange } = pair;
				const underWay = exchange.exchange(address, one, ask);
				await held.begun;
				const [knows, revoked] = side === 'server' ? [server, caller] : [caller, server];
				knows.revocations.update([revoked.nodeUuid], 1n);
				await t.throwsAsync(underWay, { code: 'IM_TRANSPORT_CLOSED' });
				t.is(knows.counters.revokedClosed, 1);
				const code = side === 'server' ? 'IM_TRANSPORT_CLOSED' : 'IM_IDENTITY_REVOKED';
				await t.throwsAsync(exchange.exchange(address, one, ask), { code });
				t.is(side === 'server' ? server.counters.refused('IM_IDENTITY_REVOKED') : caller.counters.failed(code), 1);
				held.letGo();
			},
		);

	sentence(
		'new certificates on both sides: an exchange under way gets its answer, the next shows the new ones',
		async (t) => {
			const held = holding();
			const { address, server, caller, exchange } = await answering(t, subject, held.handler);
			const underWay = exchange.exchange(address, one, ask);
			await held.begun;
			for (const node of [server, caller]) node.holder.set(await testIdentity(authority, Date.now(), node.nodeUuid));
			const before = server.counters.accepted;
			held.letGo();
			t.deepEqual((await underWay).bytes, one);
			t.deepEqual((await exchange.exchange(address, one, { ...ask, expectedNode: server.nodeUuid })).bytes, one);
			t.is(server.counters.accepted, before + 1);
		},
	);

	sentence('closing ends what is under way, at the asking and at the answering side', async (t) => {
		for (const side of ['exchange', 'listening'] as const) {
			const held = holding();
			const pair = await answering(t, subject, held.handler);
			const underWay = pair.exchange.exchange(pair.address, one, ask);
			await held.begun;
			const failed = t.throwsAsync(underWay, { code: 'IM_TRANSPORT_CLOSED' });
			await pair[side].close();
			await failed;
			held.letGo();
		}
	});

	sentence('what is closed refuses', async (t) => {
		const { address, exchange } = await answering(t, subject, reverse);
		await exchange.close();
		await t.throwsAsync(exchange.exchange(address, one, ask), { code: 'IM_TRANSPORT_CLOSED' });
	});

	sentence('a port that is taken is told', async (t) => {
		const { address, caller } = await answering(t, subject, reverse);
		const second = subject.open(caller.context);
		t.teardown(() => second.close());
		await t.throwsAsync(second.listen(address, reverse), { code: 'IM_TRANSPORT_BIND' });
	});
}
