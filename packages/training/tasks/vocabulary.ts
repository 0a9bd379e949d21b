// Names and things that problems are about.
//
// Owns lists shared by several tasks: people, countable things with their plurals and Chinese measure words, places.
// Knows nothing about problems. Order is part of the corpus: append, never sort.

export const people = {
  en: words(
    'Tom Anna Ben Lucy Max Emma Jack Mia Leo Zoe Sam Ella Noah Ruby Adam Lily Finn Nora Hugo Ivy Paul Rosa Mark Jane Peter Alice ' +
      'David Sarah Kevin Laura Oscar Clara Felix Julia Simon Helen Victor Diana Martin Olivia George Sophie Henry Grace Walter ' +
      'Amy Carlos Maria Diego Elena Pedro Lucia Ivan Olga Anton Vera Ahmed Fatima Omar Layla Yusuf Aisha Ravi Priya Arjun Meera ' +
      'Kenji Yuki Haruto Sakura Chen Mei Wei Ling Min Jun Kofi Ama Kwame Zuri Erik Ingrid Lars Freya Pierre Camille Luca Giulia ' +
      'Marco Bianca Tariq Noor Samir Hana Tim Kate Bob Carol Dan Eve Frank Gina Harry Iris Jim Karen Liam Monica Nick Paula ' +
      'Quinn Rita Steve Tina Uma Vince Wendy Xavier Yara Zack',
  ),
  zh: words(
    '小明 小红 小刚 小丽 小华 小芳 小强 小雨 小军 小燕 小林 小美 小宇 小雪 小杰 小玲 小龙 小云 小东 小梅 张伟 王芳 李娜 刘洋 陈静 杨帆 赵磊 黄敏 ' +
      '周杰 吴婷 徐强 孙丽 马超 朱琳 胡军 郭靖 何欣 高峰 林涛 罗兰 郑爽 梁洁 谢宇 宋佳 唐敏 韩雪 冯刚 曹颖 彭飞 曾莉 萧晨 田甜 董洁 袁野 潘阳 蒋欣 ' +
      '蔡文 余波 杜娟 叶青 妈妈 爸爸 奶奶 爷爷 姐姐 弟弟 老王 老李 王老师 李老师',
  ),
} as const;

/** Those of the English names that are women's, for pronouns. */
export const women: ReadonlySet<string> = new Set(
  words(
    'Anna Lucy Emma Mia Zoe Ella Ruby Lily Nora Ivy Rosa Jane Alice Sarah Laura Clara Julia Helen Diana Olivia Sophie Grace Amy ' +
      'Maria Elena Lucia Olga Vera Fatima Layla Aisha Priya Meera Yuki Sakura Mei Ling Ama Zuri Ingrid Freya Camille Giulia Bianca ' +
      'Noor Hana Kate Carol Eve Gina Iris Karen Monica Paula Rita Tina Uma Wendy Yara',
  ),
);

/** Things that can be eaten, by their English singular. */
export const edible: ReadonlySet<string> = new Set(
  words('apple orange pear peach lemon mango egg cookie candy cake sandwich muffin carrot potato tomato onion'),
);

/** A countable thing: its English singular and plural, its Chinese noun and measure word. */
export interface Thing {
  readonly one: string;
  readonly many: string;
  readonly zh: string;
  readonly measure: string;
}

export const things: readonly Thing[] = table(
  `apple apples 苹果 个; orange oranges 橙子 个; pear pears 梨 个; peach peaches 桃子 个; lemon lemons 柠檬 个; mango mangoes 芒果 个;
  egg eggs 鸡蛋 个; cookie cookies 饼干 块; candy candies 糖果 颗; cake cakes 蛋糕 个; sandwich sandwiches 三明治 个; muffin muffins 松饼 个;
  book books 书 本; notebook notebooks 笔记本 本; pencil pencils 铅笔 支; pen pens 钢笔 支; crayon crayons 蜡笔 支; eraser erasers 橡皮 块;
  ruler rulers 尺子 把; sticker stickers 贴纸 张; stamp stamps 邮票 张; postcard postcards 明信片 张; photo photos 照片 张; card cards 卡片 张;
  ticket tickets 票 张; poster posters 海报 张; marble marbles 弹珠 颗; button buttons 纽扣 颗; bead beads 珠子 颗; coin coins 硬币 枚;
  shell shells 贝壳 个; stone stones 石头 块; block blocks 积木 块; ball balls 球 个; balloon balloons 气球 个; kite kites 风筝 只;
  doll dolls 娃娃 个; toy toys 玩具 个; puzzle puzzles 拼图 幅; key keys 钥匙 把; cup cups 杯子 个; plate plates 盘子 个; spoon spoons 勺子 把;
  bottle bottles 瓶子 个; box boxes 盒子 个; chair chairs 椅子 把; lamp lamps 台灯 盏; candle candles 蜡烛 根; flower flowers 花 朵; rose roses 玫瑰 朵;
  tulip tulips 郁金香 朵; tree trees 树 棵; plant plants 盆栽 盆; seed seeds 种子 粒; carrot carrots 胡萝卜 根; potato potatoes 土豆 个;
  tomato tomatoes 西红柿 个; onion onions 洋葱 个; fish fish 鱼 条; duck ducks 鸭子 只; chicken chickens 鸡 只; sheep sheep 羊 只; cow cows 牛 头;
  shirt shirts 衬衫 件; sock socks 袜子 只; hat hats 帽子 顶; scarf scarves 围巾 条; ribbon ribbons 丝带 条; nail nails 钉子 颗; brick bricks 砖 块`,
);

export const places = {
  en: words(
    'Berlin Paris London Madrid Rome Vienna Prague Lisbon Dublin Oslo Cairo Lima Tokyo Osaka Seoul Hanoi Delhi Mumbai Sydney ' +
      'Boston Denver Austin Dallas Chicago Toronto Quito Havana Athens Warsaw Zurich Geneva Munich Hamburg Milan Venice Lyon Porto ' +
      'Bergen Turin Kyoto Busan Jakarta Manila Nairobi Accra Dakar Tunis Perth Auckland Leeds Bristol Oxford Cork',
  ),
  zh: words(
    '北京 上海 广州 深圳 杭州 南京 成都 武汉 西安 重庆 天津 苏州 长沙 郑州 青岛 大连 厦门 宁波 昆明 济南 合肥 福州 南昌 贵阳 太原 沈阳 长春 兰州 海口 三亚 ' +
      '桂林 洛阳 扬州 无锡 珠海 拉萨 银川 西宁 南宁 香港 澳门 台北',
  ),
} as const;

function words(text: string): readonly string[] {
  return text.split(' ');
}

function table(text: string): readonly Thing[] {
  return text.split(';').map((row) => {
    const [one, many, zh, measure] = row.trim().split(/\s+/);
    if (!one || !many || !zh || !measure) throw new Error(`vocabulary: expected "one many zh measure", got "${row}"`);
    return { one, many, zh, measure };
  });
}
