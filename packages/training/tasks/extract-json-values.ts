// The values that messages state.
//
// Owns how a name, a place, a date, a number or a list is drawn, with its value in JSON and how it is said. Knows nothing
// about records or schemas. A value is said exactly as the JSON must hold it, or by a number word.
import type { JsonValue } from '@hadal/formats/chat/message';
import type { Random } from './random.ts';
import type { Language } from './task.ts';
import { people, places, things } from './vocabulary.ts';

export interface Said {
  readonly value: JsonValue;
  readonly text: string;
}

export const same = (value: string | number): Said => ({ value, text: String(value) });

export const person = (random: Random, language: Language): Said => {
  const first = random.pick<string>(people[language]);
  return same(language === 'en' && random.chance(0.5) ? `${first} ${random.pick(surnames)}` : first);
};

export const place = (random: Random, language: Language): Said => same(random.pick<string>(places[language]));

export const thing = (random: Random, language: Language): Said => {
  const picked = random.pick(things);
  return same(language === 'zh' ? picked.zh : picked.one);
};

export const count =
  (min: number, max: number) =>
  (random: Random, language: Language): Said => {
    const value = random.integer(min, max);
    const word = numberWords[language][value];
    return word !== undefined && random.chance(0.12) ? { value, text: word } : same(value);
  };

export const price = (random: Random): Said =>
  same(random.chance(0.5) ? random.integer(2, 900) : random.integer(110, 9999) / 100);

export const time = (random: Random): Said =>
  same(`${random.integer(7, 21)}:${random.pick(['00', '15', '30', '45', '10', '20'])}`);

export const date = (random: Random, language: Language): Said => {
  const month = random.integer(1, 12);
  const day = random.integer(1, 28);
  if (random.chance(0.4)) return same(`2026-${String(month).padStart(2, '0')}-${String(day).padStart(2, '0')}`);
  return same(language === 'zh' ? `${month}月${day}日` : `${months[month - 1]} ${day}`);
};

export const code = (random: Random): Said =>
  same(`${random.pick([...'ABCDEFGHKLMNPRSTVWX'])}${random.pick(['-', '', '-'])}${random.integer(10, 9999)}`);

export const phone = (random: Random): Said => same(`${random.integer(100, 999)}-${random.integer(1000, 9999)}`);

export const email = (random: Random): Said =>
  same(
    `${random.pick<string>(people.en).toLowerCase()}${random.pick(['', '.work', random.integer(1, 99)])}@${random.pick(['mail', 'example', 'post', 'inbox'])}.${random.pick(['com', 'org', 'net'])}`,
  );

export const truth = (random: Random): Said => ({ value: random.chance(0.5), text: '' });

export const listOf =
  (items: Readonly<Record<Language, readonly string[]>>) =>
  (random: Random, language: Language): Said => {
    const picked = random.sample(items[language], random.integer(1, 3));
    const text =
      picked.length === 1
        ? picked[0]!
        : language === 'zh'
          ? `${picked.slice(0, -1).join('、')}和${picked.at(-1)}`
          : `${picked.slice(0, -1).join(', ')} and ${picked.at(-1)}`;
    return { value: picked, text };
  };

export const oneOf =
  (levels: Readonly<Record<Language, readonly string[]>>) =>
  (random: Random, language: Language): Said =>
    same(random.pick(levels[language]));

const surnames = (
  'Smith Jones Brown Miller Davis Wilson Moore Taylor White Clark Hall Young King Wright Green Baker Adams Hill Scott Lopez ' +
  'Garcia Rossi Weber Fischer Novak Kim Park Tanaka Sato Singh Patel Khan Ali Silva Costa Dubois Martin Larsen Berg Okafor'
).split(' ');
const months = 'January February March April May June July August September October November December'.split(' ');
const numberWords: Readonly<Record<Language, Readonly<Record<number, string>>>> = {
  en: {
    2: 'two',
    3: 'three',
    4: 'four',
    5: 'five',
    6: 'six',
    7: 'seven',
    8: 'eight',
    9: 'nine',
    10: 'ten',
    12: 'twelve',
  },
  zh: { 2: '两', 3: '三', 4: '四', 5: '五', 6: '六', 7: '七', 8: '八', 9: '九', 10: '十' },
};

export const colors = {
  en: 'red blue green black white yellow purple brown gray pink orange silver'.split(' '),
  zh: '红色 蓝色 绿色 黑色 白色 黄色 紫色 棕色 灰色 粉色 橙色 银色'.split(' '),
};
export const toppings = {
  en: 'cheese tomato ham olives mushrooms onion pepper basil spinach corn garlic chicken'.split(' '),
  zh: '奶酪 番茄 火腿 橄榄 蘑菇 洋葱 青椒 香菜 菠菜 玉米 大蒜 鸡肉'.split(' '),
};
export const skills = {
  en: 'Python Java SQL design writing sales teaching cooking testing Excel French German drawing driving'.split(' '),
  zh: '编程 设计 写作 销售 教学 烹饪 测试 英语 法语 绘画 驾驶 会计 翻译'.split(' '),
};
export const tags = {
  en: 'travel food music sport science history art health games nature work school'.split(' '),
  zh: '旅行 美食 音乐 体育 科学 历史 艺术 健康 游戏 自然 工作 学校'.split(' '),
};
export const jobs = {
  en: 'teacher nurse driver baker lawyer doctor painter cook farmer pilot clerk editor engineer designer'.split(' '),
  zh: '老师 护士 司机 律师 医生 画家 厨师 农民 飞行员 编辑 工程师 设计师 记者'.split(' '),
};
export const firms = {
  en: 'Acme Nova Orbit Lumen Vertex Harbor Cedar Summit Falcon Pixel Delta Amber'.split(' '),
  zh: '华星 蓝海 云帆 天成 金桥 远大 明辉 新风 博文 安达'.split(' '),
};
export const cuisines = {
  en: 'Luna|Blue Door|Old Mill|Green Leaf|Sakura|Bella|Harbor View|Little Fork|Red Lantern|Olive Tree'.split('|'),
  zh: '外婆家 海底捞 老地方 江南春 全聚德 小南国 绿茶 蜀香园'.split(' '),
};
export const levels3 = { en: ['low', 'medium', 'high'], zh: ['低', '中', '高'] };
export const sizes = { en: ['small', 'medium', 'large'], zh: ['小', '中', '大'] };
export const moods = { en: ['positive', 'negative', 'neutral'], zh: ['正面', '负面', '中性'] };
export const states = { en: ['open', 'closed', 'pending'], zh: ['打开', '关闭', '待定'] };
export const devices = {
  en: 'printer laptop router phone camera keyboard monitor tablet scanner speaker'.split(' '),
  zh: '打印机 电脑 路由器 手机 相机 键盘 显示器 平板 扫描仪 音箱'.split(' '),
};
export const topics = {
  en: 'budget|roadmap|hiring|marketing|design review|sales report|security|launch plan|training|customer feedback'.split(
    '|',
  ),
  zh: '预算 路线图 招聘 市场 设计评审 销售报告 安全 发布计划 培训 客户反馈'.split(' '),
};
export const skies = {
  en: ['sunny', 'cloudy', 'rainy', 'snowy', 'windy', 'foggy'],
  zh: ['晴', '多云', '下雨', '下雪', '有风', '有雾'],
};
