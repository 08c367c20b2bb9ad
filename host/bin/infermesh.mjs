#!/usr/bin/env node
// The command line.
import { run } from './reexec.mjs';

await run();
