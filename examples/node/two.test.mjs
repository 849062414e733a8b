// SPDX-License-Identifier: MIT
import { testServer } from './server.mjs';

testServer('two', 'one');
