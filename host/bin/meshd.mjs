#!/usr/bin/env node
// The mesh daemon: `infermesh agent`.
import { run } from './reexec.mjs';

await run('agent');
