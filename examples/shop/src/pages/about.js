import '../styles.css';
import './about.css';
import 'version:palette.css';
import { mount } from '../lib/dom.js';
import { ready } from '../lib/ready.js';
import { release } from 'version:release.js';

ready(release.label, async () => {
  mount('#release', release.headline);
  const { story } = await import('../widgets/story.js');
  mount('#story', story());
});
