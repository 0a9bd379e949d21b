import assert from 'node:assert/strict';
import { test } from 'node:test';
import { serveToy } from './testing/serve-toy.ts';

test('the reference page and all that it loads come from this server, and the browser is held to that', async () => {
  await using toy = await serveToy({ script: () => ['ok'] });
  const address = `${toy.server.url}/docs`;
  const page = await fetch(address);
  assert.equal(page.headers.get('content-type'), 'text/html; charset=utf-8');
  const policy = page.headers.get('content-security-policy') ?? '';
  assert.match(policy, /^default-src 'self'; img-src 'self' data:;/);
  assert.doesNotMatch(policy, /unsafe|\*|\/\//);

  const html = await page.text();
  const links = [...html.matchAll(/(?:src|href)="([^"]+)"/g)].map(([, link = '']) => new URL(link, address));
  const loaded = links.filter(({ protocol }) => protocol !== 'data:');
  assert.deepEqual(
    loaded.map(({ href }) => href.replace(toy.server.url, '')),
    ['/docs/swagger-ui.css', '/docs/swagger-ui-bundle.js', '/docs/start.js'],
  );
  const [css = '', bundle = '', start = ''] = await Promise.all(
    loaded.map(async (link) => {
      const response = await fetch(link);
      assert.match(response.headers.get('content-type') ?? '', /^text\/(css|javascript); charset=utf-8$/);
      return await response.text();
    }),
  );
  const pictures = [...css.matchAll(/@import|url\(\s*["']?([^)]{0,5})/g)].map(([, begin]) => begin);
  assert.deepEqual([...new Set(pictures)], ['data:']);
  assert.ok(bundle.length > 1_000_000);
  // Swagger UI would otherwise ask a validator of Swagger's about what it is shown.
  assert.match(start, /validatorUrl: null/);
  const description = await fetch(new URL(/url: '([^']+)'/.exec(start)?.[1] ?? 'nowhere', address));
  assert.equal(description.status, 200);
});

test('the page is also there with a slash at its end', async () => {
  await using toy = await serveToy({ script: () => ['ok'] });
  const response = await fetch(`${toy.server.url}/docs/`);
  assert.deepEqual([response.status, new URL(response.url).pathname], [200, '/docs']);
});
