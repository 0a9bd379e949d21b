// Questions that hadal-nano cannot answer.
//
// Owns a wide grammar of things people ask that the model was never taught: places, people, history, health, law, code,
// news, poems, translation, opinions. Knows nothing about the answer, which is always the same honest one. A topic names
// what is asked about without its wording, so that a held-out topic is unseen in every wording.
import { phrase } from './phrasing.ts';
import type { Random } from './random.ts';
import type { Language } from './task.ts';

interface Topic {
  readonly name: string;
  /** Wordings with `$x` for the subject. */
  readonly wordings: string;
  readonly subjects: readonly string[];
}

export function drawUnknown(random: Random, language: Language): { readonly topic: string; readonly text: string } {
  const topic = random.pick(topics[language]);
  const subject = random.pick(topic.subjects);
  return { topic: `${topic.name} ${subject}`, text: phrase(random, topic.wordings, { x: subject }) };
}

function topic(name: string, wordings: string, subjects: string): Topic {
  return { name, wordings, subjects: subjects.split('|') };
}

const topics: Readonly<Record<Language, readonly Topic[]>> = {
  en: [
    topic(
      'country',
      '{What is the {capital|population|currency|flag|largest city|language|area|climate|history} of $x?|{How many people live|Where is the best beach|What do people eat|Who rules|When should I travel} in $x?|{Where is|Tell me about|What do you know about|Which countries border} $x?|How big is $x?}',
      'France|Germany|Japan|Brazil|Egypt|Canada|India|Kenya|Peru|Norway|Spain|Italy|Greece|Turkey|Poland|Mexico|Chile|Cuba|Iran|Iraq|Nepal|Laos|Fiji|Ghana|Mali|Chad|Oman|Malta|Iceland|Ireland|Sweden|Finland|Denmark|Austria|Hungary|Portugal|Morocco|Algeria|Nigeria|Angola|Vietnam|Thailand|Korea|China|Russia|Ukraine|Australia|New Zealand|Argentina|Colombia|Bolivia|Ecuador|Jamaica|Panama',
    ),
    topic(
      'city',
      '{What is the weather{ like|} in $x{ today| tomorrow| now|}?|Will it rain in $x{ tomorrow|}?|{Recommend|Find|Name} a {hotel|restaurant|museum} in $x.|What time is it in $x?|How do I get to $x?|{Who is|What is the name of} the mayor of $x?|What should I {see|visit|do} in $x?|How far is it to $x?}',
      'Paris|London|Rome|Berlin|Tokyo|Beijing|Shanghai|Moscow|Cairo|Lagos|Mumbai|Delhi|Sydney|Toronto|Chicago|Boston|Miami|Dallas|Seattle|Lima|Bogota|Vienna|Prague|Dublin|Oslo|Madrid|Lisbon|Athens|Istanbul|Dubai|Singapore|Bangkok|Seoul|Osaka|Nairobi|Havana|New York|Los Angeles',
    ),
    topic(
      'person',
      '{Who {was|is} $x?|When was $x born?|What did $x {do|invent|write|discover|say}?|{Tell me about|Write a biography of|Summarize the life of} $x.|Where did $x live?|Why is $x famous?|Is $x still alive?}',
      'Albert Einstein|Isaac Newton|Marie Curie|Charles Darwin|Galileo|Shakespeare|Goethe|Tolstoy|Mozart|Beethoven|Bach|Picasso|Van Gogh|Leonardo da Vinci|Napoleon|Julius Caesar|Cleopatra|Confucius|Plato|Aristotle|Gandhi|Lincoln|Washington|Churchill|Mandela|Ada Lovelace|Alan Turing|Tesla|Edison|Elvis|Messi|Homer|Socrates|Columbus|Marco Polo|Kafka|Jane Austen|Mark Twain',
    ),
    topic(
      'history',
      '{When did $x {happen|begin|end|start}?|What {was|caused|ended} $x?|Who won $x?|{Explain|Describe|Tell me about|Why was there} $x{.|?}|How long did $x last?|What were the results of $x?}',
      'World War I|World War II|the French Revolution|the Cold War|the Roman Empire|the Middle Ages|the Renaissance|the moon landing|the Black Death|the Industrial Revolution|the fall of the Berlin Wall|the American Civil War|the Ming dynasty|the Ottoman Empire|the Great Depression|the Crusades|the Bronze Age|the Olympic Games|the Gold Rush|the Opium Wars|the Punic Wars',
    ),
    topic(
      'science',
      '{What {is|are} $x?|How {does $x work|do you explain $x}?|{Explain|Describe|Define} $x{ to me| simply| in one sentence|}.|Why {is $x important|do we have $x|do people study $x}?|Who discovered $x?|What {causes|happens in} $x?}',
      'gravity|photosynthesis|a black hole|quantum mechanics|relativity|evolution|DNA|an atom|a volcano|an earthquake|the ozone layer|magnetism|electricity|a neutron star|entropy|osmosis|a rainbow|lightning|the periodic table|a vaccine|a virus|plate tectonics|dark matter|the big bang|nuclear fusion|a transistor|the Higgs boson|blockchain|a neural network|inflation|democracy|philosophy|supply and demand|a recession',
    ),
    topic(
      'health',
      '{What helps against $x?|{How do I treat|What are the symptoms of|What causes|Is there a cure for|What can I do about} $x{.|?}|{Should I see a doctor for|Is it dangerous to have} $x?|I have $x. What should I do?|Which medicine is good for $x?}',
      'a headache|a cold|the flu|a fever|back pain|a cough|a toothache|insomnia|stress|a sunburn|an allergy|diabetes|high blood pressure|asthma|a broken arm|a sore throat|anxiety|acne|hiccups|nausea|a migraine|anemia|a sprained ankle|dizziness',
    ),
    topic(
      'code',
      '{Write {a|some} {Python|Java|C++|Rust|JavaScript|Go|SQL} {program|code|function|script} {to|that can} $x.|How do I $x in {Python|Java|C|Rust|JavaScript|Bash|Go}?|{Show|Give} me code to $x.|Can you program something to $x?}',
      'sort a list|reverse a string|read a file|parse HTML|connect to a database|send an email|draw a circle|download a page|find primes|merge two arrays|build a website|train a neural network|play chess|open a socket|compress a file|encrypt a text|scrape a site|resize an image|make a game|start a server|walk a tree',
    ),
    topic(
      'creative',
      '{Write {me |}{a poem|a story|a song|an essay|a haiku|a joke|a letter|a speech|a limerick|a fairy tale} about $x.|{Tell|Sing} me {a story|a joke|something} about $x.|{Can you write|Please write|I need} {a poem|an essay|a story|a slogan} about $x{.|?}|Draw {me |}$x.|Paint a picture of $x.}',
      'the sea|love|autumn|my cat|a dragon|the moon|friendship|winter|a lost key|the city at night|my grandmother|a robot|spring|time|the rain|freedom|a brave mouse|an old tree|music|the stars|hope|a train ride|coffee|a lonely whale|the desert|summer',
    ),
    topic(
      'translate',
      '{Translate {"$x"|$x} {into|to} {French|German|Spanish|Italian|Japanese|Russian|Latin|Arabic|Korean|Greek}.|How do you say {"$x"|$x} in {French|German|Spanish|Japanese|Russian|Korean}?|What is {"$x"|$x} in {French|German|Spanish|Latin}?|What does {"$x"|$x} mean?|What {rhymes with|is a synonym for|is the opposite of} {"$x"|$x}?}',
      'good morning|thank you|I love you|where is the station|the house is red|happy birthday|how are you|water|bread|the sky is blue|freedom|friend|see you tomorrow|my name is Anna|cheese|library|gratitude|ambiguous|beautiful|serendipity|winter|mountain',
    ),
    topic(
      'culture',
      '{Who {wrote|directed|composed|painted|sang|stars in} $x?|What is $x about?|{Summarize|Review|Explain the ending of} $x.|When {was|did} $x {made|come out}?|Is $x {good|worth it|popular}?|Have you {seen|read|heard} $x?}',
      'Hamlet|Faust|Don Quixote|War and Peace|Titanic|Star Wars|The Matrix|Harry Potter|The Lord of the Rings|Mona Lisa|The Magic Flute|Moby Dick|Casablanca|Frozen|Avatar|The Odyssey|Dracula|Frankenstein|Inception|The Lion King|Jaws|Dune|Emma|Ulysses|The Godfather|Swan Lake|Carmen',
    ),
    topic(
      'advice',
      '{How do I {learn|get better at|start with|practice} $x?|Should I {try|study|choose|do} $x?|What do you think about $x?|What is your opinion on $x?|Give me {tips|advice} {for|about|on} $x.|Is $x {hard|good|useful|expensive}?|Why do people like $x?|What is the best {book|course} {about|on} $x?}',
      'swimming|the guitar|chess|marketing|investing|gardening|running|yoga|public speaking|painting|law|medicine|politics|dating|parenting|cooking|photography|writing|meditation|skiing|dancing|football|tax|crypto|climate change|religion|nuclear power|school uniforms|electric cars|remote work',
    ),
    topic(
      'food',
      '{How do I {cook|make|bake|prepare} $x?|{Give me a|What is a good|Do you know a} recipe for $x{.|?}|What {goes well with|is in|do I need for} $x?|How long does $x {take|keep}?|How many calories {are in|does} $x{?| have?}|Is $x healthy?}',
      'pancakes|lasagna|fried rice|dumplings|pizza|an omelet|apple pie|tomato soup|sushi|curry|bread|hummus|tacos|ramen|cheesecake|pasta|chili|a salad|goulash|paella|borscht|kimchi|waffles|risotto|pho|tiramisu',
    ),
    topic(
      'news',
      '{What is the {price|value|future|history} of $x{ today| now|}?|What happened {to|with} $x {today|yesterday|this week}?|{What is|Any} {new|the latest} {about|on|with} $x?|{Will|Could} $x {go up|rise|fall|win} {tomorrow|this year}?|{Who is winning|What is the score} in $x?}',
      'gold|oil|Bitcoin|the stock market|the dollar|Apple|Tesla|Nvidia|the election|the World Cup|the Champions League|the euro|the housing market|the climate summit|the Olympics|silver|wheat|Microsoft|the tennis final|Formula 1|the strike|the peace talks',
    ),
    topic(
      'nature',
      '{How {long|old} {do|can} $x {live|get}?|What do $x eat?|Where do $x live?|How {fast|big|smart|dangerous} are $x?|Why do $x {sleep so much|make noise|migrate|live in groups}?|Are $x {mammals|dangerous|endangered|good pets}?|Tell me {something|a fact} about $x.}',
      'elephants|whales|sharks|lions|tigers|wolves|bears|penguins|owls|eagles|bees|ants|spiders|snakes|turtles|frogs|bats|dolphins|horses|camels|giraffes|kangaroos|pandas|foxes|crows|parrots|octopuses|jellyfish|crabs|otters|dinosaurs',
    ),
    topic(
      'personal',
      '{What is my $x?|Do you {know|remember} my $x?|Can you {find|guess|tell me} my $x?|Where {is|did I put} my $x?|When is my $x?}',
      "name|birthday|password|address|phone number|appointment|favorite color|car|wallet|flight|bank balance|train|meeting|homework|email|passport|mother's name",
    ),
    topic(
      'open',
      '{$x?|Tell me: $x?|I wonder, $x?}',
      "What is the meaning of life|Is there a God|Are we alone in the universe|What is love|Why do we dream|What happens after death|Can machines think|What is consciousness|Why is the sky blue|Why is grass green|How does a plane fly|How do magnets work|Why is the sea salty|How deep is the ocean|How high is the highest mountain|Which is the longest river|How far away is the sun|How old is the universe|Who invented the telephone|Who built the pyramids|What is the speed of light|How many bones does a human have|How does the internet work|What day is it|What time is it|What is the date today|Who is the president|How do I lose weight|How do I get rich|How do I fix my car|What should I wear today|What should I eat tonight|Which phone should I buy|How do I tie a tie|What is today's news|Who won last night|How do I write a resume|Can you play music|Can you send a message to my boss|Can you book a flight|Where can I buy a lamp|What is the tallest building|How do vaccines work|Why do cats purr|What language do they speak in Brazil",
    ),
  ],
  zh: [
    topic(
      'country',
      '{$x的{首都|人口|货币|国旗|最大城市|语言|面积|气候|历史}是{什么|多少}？|$x{在哪里|有多大|有多少人|有什么好玩的|有哪些邻国}？|{介绍一下|说说|讲讲}$x。}',
      '法国|德国|日本|巴西|埃及|加拿大|印度|肯尼亚|秘鲁|挪威|西班牙|意大利|希腊|土耳其|波兰|墨西哥|智利|古巴|伊朗|泰国|越南|韩国|俄罗斯|澳大利亚|新西兰|阿根廷|瑞典|芬兰|丹麦|荷兰|英国|美国|瑞士|摩洛哥',
    ),
    topic(
      'city',
      '{$x{今天|明天|现在}{天气怎么样|会下雨吗|几度|几点}？|{推荐|找}一家$x的{酒店|餐厅|博物馆}。|$x的市长是谁？|怎么去$x？|$x有什么{好玩的|好吃的|景点}？|$x离这里多远？}',
      '巴黎|伦敦|罗马|柏林|东京|北京|上海|莫斯科|开罗|孟买|悉尼|多伦多|芝加哥|纽约|维也纳|马德里|雅典|迪拜|新加坡|曼谷|首尔|大阪|广州|深圳|成都|杭州|西安|重庆|武汉|南京',
    ),
    topic(
      'person',
      '{$x是谁？|$x{什么时候出生|做了什么|为什么有名|写了什么|发明了什么|住在哪里}？|{介绍一下|讲讲|写一篇文章介绍}$x。}',
      '爱因斯坦|牛顿|居里夫人|达尔文|伽利略|莎士比亚|歌德|托尔斯泰|莫扎特|贝多芬|毕加索|梵高|达芬奇|拿破仑|凯撒|孔子|老子|李白|杜甫|苏轼|鲁迅|曹雪芹|秦始皇|诸葛亮|岳飞|林肯|丘吉尔|图灵|爱迪生|哥伦布',
    ),
    topic(
      'history',
      '{$x{什么时候发生|什么时候开始|什么时候结束|是怎么回事|持续了多久|的原因是什么|的影响是什么}？|{讲讲|解释一下}$x。|谁赢了$x？}',
      '第一次世界大战|第二次世界大战|法国大革命|冷战|文艺复兴|工业革命|鸦片战争|辛亥革命|安史之乱|赤壁之战|丝绸之路|登月|柏林墙倒塌|罗马帝国|唐朝|宋朝|明朝|清朝|贞观之治|郑和下西洋',
    ),
    topic(
      'science',
      '{什么是$x？|$x是什么{意思|原理|}？|{解释一下|讲讲|定义一下}$x。|$x{有什么用|是怎么来的|是谁发现的|为什么重要}？}',
      '引力|光合作用|黑洞|量子力学|相对论|进化论|基因|原子|火山|地震|臭氧层|磁场|电|熵|彩虹|闪电|元素周期表|疫苗|病毒|暗物质|大爆炸|核聚变|晶体管|区块链|神经网络|通货膨胀|民主|哲学|供求关系',
    ),
    topic(
      'health',
      '{$x怎么办？|$x{吃什么药|有什么症状|是什么原因|能治好吗|要去医院吗|怎么治疗}？|我{有点|得了|}$x，怎么办？}',
      '头痛|感冒|流感|发烧|背痛|咳嗽|牙疼|失眠|压力大|晒伤|过敏|糖尿病|高血压|哮喘|骨折|嗓子疼|焦虑|长痘|打嗝|恶心|偏头痛|贫血|扭伤|头晕',
    ),
    topic(
      'code',
      '{用{Python|Java|C++|Rust|Go|SQL}{写一个程序|写代码|写个函数}{来|}$x。|怎么用{Python|Java|C语言|Go}$x？|给我一段$x的代码。}',
      '排序列表|反转字符串|读取文件|解析网页|连接数据库|发送邮件|画一个圆|下载网页|找质数|合并数组|搭建网站|训练神经网络|下棋|压缩文件|加密文本|写爬虫|做游戏',
    ),
    topic(
      'creative',
      '{{写|给我写|请写}{一首诗|一个故事|一首歌|一篇作文|一个笑话|一封信|一篇演讲|一个童话}，{关于|主题是}$x。|{讲|说}一个{关于|}$x的{故事|笑话}。|画一{张|幅}$x。}',
      '大海|爱情|秋天|我的猫|龙|月亮|友谊|冬天|城市的夜晚|奶奶|机器人|春天|时间|雨|自由|老树|音乐|星星|希望|火车|咖啡|鲸鱼|沙漠|夏天|故乡',
    ),
    topic(
      'translate',
      '{把“$x”翻译成{法语|德语|西班牙语|日语|俄语|韩语|英语}。|“$x”用{法语|德语|日语|韩语|英语}怎么说？|“$x”是什么意思？|“$x”的{反义词|近义词}是什么？|用“$x”造句。}',
      '早上好|谢谢|我爱你|车站在哪里|房子是红的|生日快乐|你好吗|水|面包|天空是蓝的|自由|朋友|明天见|奶酪|图书馆|感激|美丽|冬天|一石二鸟|画蛇添足|守株待兔',
    ),
    topic(
      'culture',
      '{$x{是谁写的|是谁导演的|讲了什么|好看吗|什么时候上映|结局是什么}？|你{看过|读过|听过}$x吗？|{总结|评价}一下$x。}',
      '《哈姆雷特》|《红楼梦》|《西游记》|《三国演义》|《水浒传》|《战争与和平》|《泰坦尼克号》|《星球大战》|《哈利波特》|《蒙娜丽莎》|《百年孤独》|《阿凡达》|《三体》|《活着》|《狮子王》|《流浪地球》|《茶馆》|《琵琶行》',
    ),
    topic(
      'advice',
      '{{怎么|如何}{学|练|开始学}$x？|{要不要|应该}{学|试试}$x{吗|}？|你{怎么看|觉得}$x{？|怎么样？}|给我一些{关于|}$x的建议。|$x{难吗|有用吗|贵吗}？}',
      '游泳|吉他|象棋|营销|投资|园艺|跑步|瑜伽|演讲|绘画|法律|医学|政治|恋爱|育儿|摄影|写作|冥想|滑雪|跳舞|足球|报税|电动车|远程办公',
    ),
    topic(
      'food',
      '{{怎么|如何}{做|煮|烤}$x？|$x{的做法是什么|怎么做|要放什么|健康吗|有多少热量|要做多久}？|给我一个$x的{菜谱|食谱}。}',
      '煎饼|红烧肉|炒饭|饺子|披萨|蛋炒饭|苹果派|番茄汤|寿司|咖喱|面包|火锅|拉面|蛋糕|意面|沙拉|宫保鸡丁|麻婆豆腐|糖醋排骨|粽子|月饼|汤圆',
    ),
    topic(
      'news',
      '{$x{今天|现在}{多少钱|怎么样|涨了吗|跌了吗}？|{今天|昨天|最近}$x{怎么了|有什么消息|有什么新闻}？|$x{明天|明年}会{涨|跌|赢}吗？}',
      '黄金|石油|比特币|股市|美元|苹果公司|特斯拉|英伟达|选举|世界杯|欧冠|欧元|房价|奥运会|白银|小麦|微软|人民币',
    ),
    topic(
      'nature',
      '{$x{吃什么|住在哪里|能活多久|有多大|跑得快吗|危险吗|聪明吗}？|为什么$x{睡那么多|会叫|要迁徙}？|讲一个关于$x的知识。}',
      '大象|鲸鱼|鲨鱼|狮子|老虎|狼|熊|企鹅|猫头鹰|老鹰|蜜蜂|蚂蚁|蜘蛛|蛇|乌龟|青蛙|蝙蝠|海豚|马|骆驼|长颈鹿|袋鼠|熊猫|狐狸|恐龙',
    ),
    topic(
      'personal',
      '{我的$x是什么？|你{知道|记得}我的$x吗？|{帮我找|猜猜|告诉我}我的$x。}',
      '名字|生日|密码|地址|电话|预约|车牌|钱包|航班|银行余额|会议|作业|邮箱|护照',
    ),
    topic(
      'open',
      '{$x？|请告诉我，$x？|我想知道$x？}',
      '生命的意义是什么|有外星人吗|爱是什么|人为什么做梦|机器会思考吗|意识是什么|天为什么是蓝的|草为什么是绿的|飞机怎么飞|海水为什么是咸的|海有多深|最高的山是哪座|最长的河是哪条|太阳有多远|宇宙有多老|谁发明了电话|谁建了金字塔|光速是多少|人有多少块骨头|互联网怎么工作|今天星期几|现在几点|今天几号|总统是谁|怎么减肥|怎么赚钱|车坏了怎么修|今天穿什么|晚上吃什么|买什么手机好|怎么打领带|今天有什么新闻|昨晚谁赢了|怎么写简历|能放音乐吗|能帮我订机票吗|哪里能买到台灯|最高的楼是哪座|猫为什么会打呼噜',
    ),
  ],
};
