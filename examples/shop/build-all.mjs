// Builds every version into builds/. One process each, because the version is read when Vite loads its configuration.
import { spawnSync } from 'node:child_process';

for (const version of ['v1', 'v2', 'v3']) {
  const { status } = spawnSync('npx', ['--no-install', 'vite', 'build', '--logLevel', 'warn'], {
    cwd: import.meta.dirname,
    env: { ...process.env, SHOP_VERSION: version, NODE_ENV: 'production' },
    stdio: 'inherit',
  });
  if (status !== 0) process.exit(status ?? 1);
  console.log(`built ${version}`);
}
