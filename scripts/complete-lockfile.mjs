#!/usr/bin/env node
// Owns the completion of package-lock.json after `npm install`: where a registry holds no packages for platforms the mesh does not run on,
// npm leaves their optional entries out, and `npm ci` then refuses the lockfile. This adds them by name, exact version and platform, so that
// npm knows them and skips them. Run as `node scripts/complete-lockfile.mjs`; a second run changes nothing.
import { readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { fileURLToPath } from 'node:url';

const file = path.join(path.dirname(path.dirname(fileURLToPath(import.meta.url))), 'package-lock.json');
const lock = JSON.parse(readFileSync(file, 'utf8'));
const systems = ['android', 'darwin', 'freebsd', 'linux', 'netbsd', 'openbsd', 'openharmony', 'sunos', 'aix', 'win32'];
const processors = ['arm64', 'arm', 'ia32', 'x64', 'loong64', 'mips64el', 'ppc64', 'riscv64', 's390x'];

/** Platform of a package from its name, by the naming custom of the ecosystem: `cli-linux-x64-musl`, `binding-win32-ia32-msvc`. */
function platformOf(name) {
	const words = name.split(/[-/]/);
	const os = systems.filter((system) => words.includes(system));
	const cpu = processors.filter((processor) => words.includes(processor));
	const libc = words.some((word) => word === 'musl' || word === 'musleabihf') ? ['musl'] : [];
	return { os, cpu, ...(libc.length > 0 ? { libc } : {}) };
}

let added = 0;
for (const entry of Object.values(lock.packages)) {
	for (const [name, version] of Object.entries(entry.optionalDependencies ?? {})) {
		const key = `node_modules/${name}`;
		if (lock.packages[key]?.version !== undefined) continue;
		const platform = platformOf(name);
		if (platform.os.length === 0 || !/^\d+\.\d+\.\d+[\w.-]*$/.test(version)) continue;
		lock.packages[key] = { version, ...platform, ...(entry.dev === true ? { dev: true } : {}), optional: true };
		added++;
	}
}
const [rootEntry, ...rest] = Object.entries(lock.packages);
lock.packages = Object.fromEntries([rootEntry, ...rest.sort(([a], [b]) => a.localeCompare(b, 'en'))]);
writeFileSync(file, `${JSON.stringify(lock, null, 2)}\n`);
process.stderr.write(`complete-lockfile: ${added} entries added\n`);
