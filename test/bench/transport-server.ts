// Owns the answering process of the transport bench: the same service over mTLS and without TLS, on two ports.
import { once } from 'node:events';
import process from 'node:process';
import { Server, ServerCredentials } from '@grpc/grpc-js';
import { SecureServer } from '@infermesh/fabric';
import {
	contextOf,
	type EchoReady,
	echoHandlers,
	echoService,
	identityFrom,
	type WireIdentity,
} from './transport-echo.js';

const [wire] = (await once(process, 'message')) as [WireIdentity];
const secure = new SecureServer(contextOf(identityFrom(wire)));
secure.addService(echoService, echoHandlers);
const plain = new Server();
plain.addService(echoService, echoHandlers);
const plainPort = await new Promise<number>((resolve, reject) => {
	plain.bindAsync('127.0.0.1:0', ServerCredentials.createInsecure(), (error, port) => {
		if (error === null) resolve(port);
		else reject(error);
	});
});
const ready: EchoReady = { secure: await secure.listen('127.0.0.1:0'), plain: `127.0.0.1:${plainPort}` };
process.send?.(ready);
// The parent going away ends this process too.
process.once('disconnect', () => process.exit(0));
