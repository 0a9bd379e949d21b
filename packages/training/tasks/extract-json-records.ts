// The kinds of records behind extract-json.
//
// Owns which facts a message can state (orders, contacts, meetings...), how each is said in either language and what it
// may be called in a schema: one long table, which is why this file is long. Knows nothing about prompts or judging.

import {
  code,
  colors,
  count,
  cuisines,
  date,
  devices,
  email,
  firms,
  jobs,
  levels3,
  listOf,
  moods,
  oneOf,
  person,
  phone,
  place,
  price,
  type Said,
  same,
  sizes,
  skies,
  skills,
  states,
  tags,
  thing,
  time,
  topics,
  toppings,
  truth,
} from './extract-json-values.ts';
import type { Random } from './random.ts';
import type { Language } from './task.ts';
import { people } from './vocabulary.ts';

export type FieldType = 'string' | 'integer' | 'number' | 'boolean' | 'enum' | 'strings';

export interface Field {
  /** Names in a schema, in snake_case; one is chosen. */
  readonly keys: string;
  readonly zhKeys: string;
  readonly type: FieldType;
  readonly draw: (random: Random, language: Language) => Said;
  /** Wordings: `$v` is the value as said. For booleans: "when true / when false". */
  readonly en: string;
  readonly zh: string;
  /** The levels of an enum, as a schema lists them. */
  readonly levels?: Readonly<Record<Language, readonly string[]>>;
}

/** One sentence that states several facts: `$a`, `$b`, `$c`, `$d` are the fields of `of`, by their first keys, in order. */
export interface Compound {
  readonly of: readonly string[];
  readonly en: string;
  readonly zh: string;
}

export interface RecordKind {
  readonly name: string;
  readonly fields: readonly Field[];
  readonly compounds: readonly Compound[];
}

export function field(
  type: FieldType,
  keys: string,
  zhKeys: string,
  draw: Field['draw'],
  en: string,
  zh: string,
  levels?: Field['levels'],
): Field {
  return { type, keys, zhKeys, draw, en, zh, ...(levels ? { levels } : {}) };
}

export const recordKinds: readonly RecordKind[] = [
  {
    name: 'order',
    fields: [
      field(
        'string',
        'customer|customer_name|buyer|name|client',
        '客户|姓名|买家',
        person,
        '{The customer is $v|$v placed an order|This is an order from $v|customer: $v|I am $v}',
        '{客户是$v|$v下了订单|我是$v|买家：$v}',
      ),
      field(
        'string',
        'product|item|article|goods',
        '商品|产品|物品',
        thing,
        '{The item is {a|the} $v|ordered: $v|product: $v|It is about the $v}',
        '{商品是$v|订的是$v|产品：$v|要的是$v}',
      ),
      field(
        'integer',
        'quantity|count|amount|number|qty',
        '数量|件数',
        count(2, 40),
        '{The quantity is $v|$v pieces|we need $v of them|quantity: $v}',
        '{数量是$v|一共$v件|要$v件|数量：$v}',
      ),
      field(
        'number',
        'price|unit_price|cost|total',
        '价格|单价|总价',
        price,
        '{The price is $v|It costs $v|price: $v|for $v dollars}',
        '{价格是$v元|要$v元|价格：$v|花了$v元}',
      ),
      field(
        'string',
        'city|destination|ship_to|town',
        '城市|目的地',
        place,
        '{Please send it to $v|ship to $v|The delivery goes to $v|city: $v}',
        '{请寄到$v|送到$v|收货城市：$v|发往$v}',
      ),
      field(
        'boolean',
        'paid|is_paid|payment_done',
        '已付款|是否付款',
        truth,
        '{It is already paid|paid in full|The payment is done}/{It is not paid yet|not yet paid|The payment is still open}',
        '{已经付款|钱已付|付过款了}/{还没付款|尚未付款|没付钱}',
      ),
      field(
        'strings',
        'colors|color_options',
        '颜色',
        listOf(colors),
        '{The colors are $v|in $v|colors: $v}',
        '{颜色是$v|要$v的|颜色：$v}',
      ),
      field(
        'string',
        'order_id|order_number|reference|id',
        '订单号|编号',
        code,
        '{The order number is $v|order $v|reference: $v}',
        '{订单号是$v|单号$v|编号：$v}',
      ),
    ],
    compounds: [
      {
        of: ['customer', 'quantity', 'product'],
        en: '{$a ordered $b pieces of $c|$a wants $b times the item "$c"|$a bought the $c, $b of them}',
        zh: '{$a订了$b件$c|$a买了$b件$c|$a要$b件$c}',
      },
      {
        of: ['product', 'price'],
        en: '{the $a costs $b|one $a for $b|we charge $b for the $a}',
        zh: '{$a卖$b元|$a的价格是$b元}',
      },
      {
        of: ['customer', 'city'],
        en: '{$a lives in $b and wants it sent there|send it to $a in $b}',
        zh: '{寄给$b的$a|收货人$a，地址$b}',
      },
      {
        of: ['customer', 'product', 'quantity', 'city'],
        en: '{$a from $d ordered $c of our $b|please ship $c pieces of $b to $a in $d}',
        zh: '{$d的$a订了$c件$b|请发$c件$b给$d的$a}',
      },
    ],
  },
  {
    name: 'contact',
    fields: [
      field(
        'string',
        'name|full_name|contact|person',
        '姓名|名字|联系人',
        person,
        '{My name is $v|I am $v|Contact: $v|This is $v}',
        '{我叫$v|我是$v|联系人：$v|名字是$v}',
      ),
      field(
        'string',
        'email|email_address|mail',
        '邮箱|电子邮件',
        email,
        '{Write to $v|my email is $v|email: $v|You can reach me at $v}',
        '{邮箱是$v|请写信到$v|邮箱：$v}',
      ),
      field(
        'string',
        'phone|phone_number|tel|mobile',
        '电话|手机',
        phone,
        '{Call $v|my number is $v|phone: $v|The phone number is $v}',
        '{电话是$v|请打$v|电话：$v|号码$v}',
      ),
      field(
        'string',
        'city|home|location|lives_in',
        '城市|住址|所在地',
        place,
        '{I live in $v|based in $v|city: $v|My home is $v}',
        '{我住在$v|人在$v|城市：$v}',
      ),
      field(
        'integer',
        'age|years|age_years',
        '年龄',
        count(16, 90),
        '{I am $v years old|age: $v|aged $v}',
        '{今年$v岁|年龄：$v|$v岁}',
      ),
      field(
        'string',
        'job|occupation|profession|work',
        '职业|工作',
        oneOf(jobs),
        '{I work as a $v|job: $v|My job is $v}',
        '{我是一名$v|职业：$v|工作是$v}',
      ),
      field(
        'string',
        'company|employer|organization',
        '公司|单位',
        oneOf(firms),
        '{I work at $v|company: $v|My employer is $v}',
        '{我在$v公司上班|公司：$v|单位是$v}',
      ),
      field(
        'boolean',
        'married|is_married',
        '已婚',
        truth,
        '{I am married}/{I am not married|I am single}',
        '{我已婚|我结婚了}/{我未婚|我还没结婚}',
      ),
    ],
    compounds: [
      {
        of: ['name', 'age'],
        en: '{I am $a and $b years old|$a, aged $b|$a is $b years old}',
        zh: '{我叫$a，今年$b岁|$a，$b岁}',
      },
      { of: ['name', 'city'], en: '{I am $a from $b|$a lives in $b|$a moved to $b}', zh: '{我是来自$b的$a|$a住在$b}' },
      {
        of: ['job', 'company'],
        en: '{I work as a $a at $b|$a at $b|I am a $a with $b}',
        zh: '{我在$b公司做$a|$b公司的$a}',
      },
      {
        of: ['email', 'phone'],
        en: '{write to $a or call $b|reach me at $a or $b}',
        zh: '{邮箱$a，电话$b|请写信到$a或打$b}',
      },
    ],
  },
  {
    name: 'meeting',
    fields: [
      field(
        'string',
        'topic|subject|title|about',
        '主题|议题|标题',
        oneOf(topics),
        '{The topic is $v|we talk about $v|Subject: $v|It is about $v}',
        '{主题是$v|讨论$v|议题：$v}',
      ),
      field(
        'string',
        'date|day|on',
        '日期',
        date,
        '{It is on $v|date: $v|The meeting takes place on $v}',
        '{日期是$v|时间定在$v|$v开会}',
      ),
      field(
        'string',
        'time|start_time|starts_at|begins',
        '时间|开始时间',
        time,
        '{It starts at $v|at $v|start: $v|We begin at $v}',
        '{$v开始|开始时间：$v|时间$v}',
      ),
      field(
        'integer',
        'duration|minutes|duration_minutes|length',
        '时长|分钟',
        count(10, 120),
        '{It takes $v minutes|duration: $v minutes|$v minutes long}',
        '{时长$v分钟|大约$v分钟|要开$v分钟}',
      ),
      field(
        'string',
        'room|place|location|where',
        '房间|会议室|地点',
        code,
        '{We meet in room $v|room: $v|The room is $v}',
        '{在$v会议室|会议室：$v|地点是$v}',
      ),
      field(
        'strings',
        'attendees|participants|people|guests',
        '参加者|与会者|人员',
        listOf(people),
        '{With $v|The participants are $v|attendees: $v|$v will be there}',
        '{参加的有$v|与会者：$v|$v参加}',
      ),
      field(
        'boolean',
        'online|remote|is_online|virtual',
        '线上|是否线上',
        truth,
        '{It is online|The meeting is remote}/{It is in person|not online|We meet on site}',
        '{线上进行|是线上会议}/{线下进行|不是线上会议}',
      ),
      field(
        'enum',
        'priority|importance|urgency',
        '优先级|重要性',
        oneOf(levels3),
        '{The priority is $v|$v priority|importance: $v}',
        '{优先级是$v|重要性：$v}',
        levels3,
      ),
    ],
    compounds: [
      {
        of: ['topic', 'date', 'time'],
        en: '{we meet on $b at $c to talk about $a|the meeting about $a is on $b, $c|$a on $b at $c}',
        zh: '{$b$c开会讨论$a|关于$a的会议定在$b$c}',
      },
      { of: ['date', 'time'], en: '{on $a at $b|it begins on $a at $b}', zh: '{$a$b开始|时间是$a$b}' },
      {
        of: ['time', 'duration'],
        en: '{from $a, for $b minutes|it starts at $a and takes $b minutes}',
        zh: '{$a开始，$b分钟|从$a开$b分钟}',
      },
    ],
  },
  {
    name: 'trip',
    fields: [
      field(
        'string',
        'traveler|passenger|name|guest',
        '旅客|乘客|姓名',
        person,
        '{The traveler is $v|passenger: $v|Booking for $v}',
        '{旅客是$v|乘客：$v|为$v预订}',
      ),
      field(
        'string',
        'from|origin|departure_city|start',
        '出发地|起点',
        place,
        '{From $v|leaving from $v|start: $v|The trip starts in $v}',
        '{从$v出发|出发地：$v|起点是$v}',
      ),
      field(
        'string',
        'to|destination|arrival_city|goal',
        '目的地|到达地|终点',
        place,
        '{to $v|destination: $v|The goal is $v|going to $v}',
        '{去$v|目的地：$v|终点是$v}',
      ),
      field(
        'string',
        'date|travel_date|day',
        '日期|出行日期',
        date,
        '{on $v|date: $v|The day is $v}',
        '{$v出发|日期：$v|日子定在$v}',
      ),
      field(
        'integer',
        'nights|days|duration_days',
        '天数|晚数',
        count(2, 21),
        '{for $v nights|staying $v nights|nights: $v}',
        '{住$v晚|停留$v晚|晚数：$v}',
      ),
      field(
        'integer',
        'people|passengers|seats|persons',
        '人数',
        count(2, 9),
        '{for $v people|$v passengers|people: $v}',
        '{一共$v人|$v位乘客|人数：$v}',
      ),
      field(
        'number',
        'budget|price|max_price',
        '预算|价格',
        price,
        '{The budget is $v|budget: $v|at most $v}',
        '{预算$v元|预算：$v|最多$v元}',
      ),
      field(
        'boolean',
        'breakfast|with_breakfast',
        '含早餐|早餐',
        truth,
        '{with breakfast|Breakfast is included}/{without breakfast|no breakfast}',
        '{含早餐|要早餐}/{不含早餐|不要早餐}',
      ),
    ],
    compounds: [
      {
        of: ['from', 'to'],
        en: '{from $a to $b|we fly from $a to $b|going to $b from $a|the way from $a to $b}',
        zh: '{从$a到$b|由$a飞往$b|$a去$b}',
      },
      {
        of: ['traveler', 'to', 'date'],
        en: '{$a travels to $b on $c|on $c $a goes to $b|$a wants to be in $b on $c}',
        zh: '{$a$c去$b|$c，$a前往$b}',
      },
      {
        of: ['people', 'nights'],
        en: '{$a people for $b nights|we are $a and stay $b nights}',
        zh: '{$a人住$b晚|我们$a个人，住$b晚}',
      },
    ],
  },
  {
    name: 'table',
    fields: [
      field(
        'string',
        'restaurant|place|where',
        '餐厅|饭店',
        oneOf(cuisines),
        '{A table at $v|restaurant: $v|We want to eat at $v}',
        '{在$v订位|餐厅：$v|想去$v吃饭}',
      ),
      field(
        'string',
        'name|guest|reserved_by|under',
        '姓名|订位人',
        person,
        '{under the name $v|name: $v|The guest is $v}',
        '{订位人$v|姓名：$v|名字写$v}',
      ),
      field(
        'integer',
        'guests|people|party_size|seats',
        '人数|几位',
        count(2, 12),
        '{for $v people|we are $v|guests: $v}',
        '{$v个人|一共$v位|人数：$v}',
      ),
      field('string', 'time|at|hour', '时间|几点', time, '{at $v|time: $v|We come at $v}', '{$v到|时间：$v|$v用餐}'),
      field('string', 'date|day|on', '日期', date, '{on $v|date: $v|The day is $v}', '{$v|日期：$v|日子是$v}'),
      field(
        'boolean',
        'outside|outdoor|terrace',
        '室外|露天',
        truth,
        '{outside please|on the terrace|We want to sit outside}/{inside please|not outside|We want to sit inside}',
        '{要坐室外|想坐外面}/{要坐室内|不坐外面}',
      ),
      field(
        'strings',
        'toppings|ingredients|extras',
        '配料|加料',
        listOf(toppings),
        '{with $v|extras: $v|please add $v}',
        '{加$v|配料：$v|要$v}',
      ),
    ],
    compounds: [
      {
        of: ['restaurant', 'guests', 'time'],
        en: '{a table for $b at $a, $c|we are $b and come to $a at $c|please book $a at $c for $b people}',
        zh: '{$c在$a订$b位|订$a，$b人，$c}',
      },
      { of: ['name', 'guests'], en: '{$a with $b people|a table for $b under the name $a}', zh: '{$a，$b位|$a订$b人}' },
      { of: ['date', 'time'], en: '{on $a at $b|we come on $a at $b}', zh: '{$a$b|$a的$b}' },
    ],
  },
  {
    name: 'ticket',
    fields: [
      field(
        'string',
        'device|product|equipment|hardware',
        '设备|产品',
        oneOf(devices),
        '{The $v does not work|device: $v|There is a problem with the $v|My $v is broken}',
        '{$v坏了|设备：$v|$v出了问题}',
      ),
      field(
        'string',
        'reporter|user|name|reported_by',
        '报告人|用户|姓名',
        person,
        '{reported by $v|user: $v|This is $v}',
        '{报告人$v|用户：$v|我是$v}',
      ),
      field(
        'enum',
        'severity|priority|level|urgency',
        '严重性|优先级|级别',
        oneOf(levels3),
        '{The severity is $v|$v severity|priority: $v}',
        '{严重性是$v|优先级：$v}',
        levels3,
      ),
      field(
        'enum',
        'status|state',
        '状态',
        oneOf(states),
        '{The status is $v|status: $v|The ticket is $v}',
        '{状态是$v|状态：$v}',
        states,
      ),
      field(
        'string',
        'ticket_id|id|case_number|ticket',
        '工单号|编号',
        code,
        '{ticket $v|The case number is $v|id: $v}',
        '{工单$v|编号是$v|工单号：$v}',
      ),
      field(
        'integer',
        'affected_users|users|people_affected',
        '受影响人数',
        count(2, 300),
        '{$v users are affected|affected: $v|It hits $v people}',
        '{影响$v人|受影响人数：$v|有$v个用户受影响}',
      ),
      field(
        'boolean',
        'urgent|is_urgent',
        '紧急|是否紧急',
        truth,
        '{It is urgent|This is urgent}/{It is not urgent|no hurry}',
        '{很紧急|这事紧急}/{不紧急|不着急}',
      ),
      field(
        'string',
        'floor|room|office',
        '楼层|办公室|房间',
        code,
        '{in room $v|office $v|room: $v}',
        '{在$v房间|办公室：$v}',
      ),
    ],
    compounds: [
      {
        of: ['reporter', 'device'],
        en: '{$a has trouble with the $b|$a says that the $b is broken|the $b of $a stopped working}',
        zh: '{$a的$b坏了|$a说$b不能用}',
      },
      {
        of: ['device', 'floor'],
        en: '{the $a in $b is broken|the $a in room $b does not start}',
        zh: '{$b的$a坏了|$b房间的$a不工作}',
      },
      { of: ['ticket_id', 'status'], en: '{ticket $a is $b|$a: $b}', zh: '{工单$a的状态是$b|$a：$b}' },
    ],
  },
  {
    name: 'review',
    fields: [
      field(
        'string',
        'product|item|reviewed',
        '产品|商品',
        thing,
        '{The product is {a|the} $v|I bought a $v|review of the $v}',
        '{买的是$v|产品：$v|评价$v}',
      ),
      field(
        'integer',
        'rating|stars|score|points',
        '评分|星级|分数',
        count(1, 5),
        '{$v stars|rating: $v|I give it $v points}',
        '{$v星|评分：$v|给$v分}',
      ),
      field(
        'enum',
        'sentiment|mood|opinion',
        '情感|态度',
        oneOf(moods),
        '{My opinion is $v|overall $v|sentiment: $v}',
        '{总体{是|}$v|态度：$v}',
        moods,
      ),
      field(
        'string',
        'author|reviewer|name|user',
        '作者|评论者',
        person,
        '{written by $v|author: $v|from $v}',
        '{作者$v|评论者：$v|来自$v}',
      ),
      field(
        'boolean',
        'recommended|would_buy_again|recommends',
        '推荐|是否推荐',
        truth,
        '{I recommend it|I would buy it again}/{I do not recommend it|I would not buy it again}',
        '{我推荐|值得推荐}/{我不推荐|不值得推荐}',
      ),
      field('number', 'price|paid_price|cost', '价格', price, '{I paid $v|price: $v|it was $v}', '{花了$v元|价格：$v}'),
      field(
        'strings',
        'tags|topics|categories',
        '标签|类别',
        listOf(tags),
        '{tags: $v|It is about $v|topics: $v}',
        '{标签：$v|关于$v}',
      ),
      field(
        'enum',
        'size|format',
        '尺寸|大小',
        oneOf(sizes),
        '{size $v|The size is $v|size: $v}',
        '{尺寸{是|}$v|大小：$v}',
        sizes,
      ),
    ],
    compounds: [
      {
        of: ['author', 'product', 'rating'],
        en: '{$a gives the $b $c stars|$a bought a $b and gives it $c points|$c stars for the $b from $a}',
        zh: '{$a给$b打$c星|$a买了$b，评分$c}',
      },
      { of: ['product', 'price'], en: '{I paid $b for the $a|the $a was $b}', zh: '{$a花了$b元|$a价格$b元}' },
    ],
  },
  {
    name: 'applicant',
    fields: [
      field(
        'string',
        'name|applicant|candidate|full_name',
        '姓名|应聘者|候选人',
        person,
        '{The applicant is $v|I am $v|candidate: $v}',
        '{应聘者是$v|我是$v|候选人：$v}',
      ),
      field(
        'string',
        'position|job|role|applied_for',
        '职位|岗位',
        oneOf(jobs),
        '{applying as a $v|position: $v|I want to work as a $v}',
        '{应聘$v|岗位：$v|想做$v}',
      ),
      field(
        'integer',
        'experience|years_of_experience|experience_years',
        '经验|工作年限',
        count(2, 30),
        '{$v years of experience|experience: $v years|I have worked for $v years}',
        '{有$v年经验|工作$v年|经验：$v年}',
      ),
      field(
        'strings',
        'skills|abilities|strengths',
        '技能|特长',
        listOf(skills),
        '{My skills are $v|skills: $v|I know $v}',
        '{会$v|技能：$v|擅长$v}',
      ),
      field(
        'integer',
        'salary|expected_salary|wage',
        '薪资|期望薪资',
        (random) => same(random.integer(20, 120) * 100),
        '{I expect $v a month|salary: $v|The expected salary is $v}',
        '{期望薪资$v元|薪资：$v|希望月薪$v元}',
      ),
      field(
        'string',
        'city|location|home',
        '城市|所在地',
        place,
        '{from $v|city: $v|I live in $v}',
        '{来自$v|城市：$v|住在$v}',
      ),
      field(
        'boolean',
        'full_time|is_full_time',
        '全职|是否全职',
        truth,
        '{full time|I want full time work}/{part time|not full time}',
        '{全职|想做全职}/{兼职|不是全职}',
      ),
      field(
        'string',
        'start_date|available_from|start',
        '入职日期|可入职',
        date,
        '{available from $v|I can start on $v|start: $v}',
        '{$v可入职|入职日期：$v}',
      ),
    ],
    compounds: [
      {
        of: ['name', 'position'],
        en: '{$a wants to be a $b|$a applies as a $b|I am $a and look for work as a $b}',
        zh: '{$a应聘$b|我叫$a，想做$b}',
      },
      {
        of: ['position', 'experience'],
        en: '{I have been a $a for $b years|$b years as a $a}',
        zh: '{做$a已经$b年|当了$b年$a}',
      },
      { of: ['name', 'city'], en: '{$a from $b|I am $a and live in $b}', zh: '{$b的$a|$a，住在$b}' },
    ],
  },
  {
    name: 'weather',
    fields: [
      field(
        'string',
        'city|place|station|location',
        '城市|地点',
        place,
        '{Weather for $v|In $v|place: $v|This is the report for $v}',
        '{$v天气|地点：$v|这里是$v}',
      ),
      field(
        'integer',
        'temperature|degrees|temp',
        '温度|气温',
        count(1, 39),
        '{$v degrees|The temperature is $v|temperature: $v}',
        '{气温$v度|温度：$v|$v度}',
      ),
      field(
        'enum',
        'sky|condition|weather',
        '天气|天空',
        oneOf(skies),
        '{It is $v|sky: $v|The weather is $v}',
        '{天气{是|}$v|天气：$v}',
        skies,
      ),
      field(
        'integer',
        'humidity|humidity_percent',
        '湿度',
        count(20, 99),
        '{humidity $v percent|The humidity is $v}',
        '{湿度$v%|湿度：$v}',
      ),
      field(
        'number',
        'wind|wind_speed|wind_kmh',
        '风速',
        (random) => same(random.integer(10, 600) / 10),
        '{wind $v km per hour|The wind blows at $v|wind: $v}',
        '{风速$v|风速：$v}',
      ),
      field('string', 'date|day', '日期', date, '{on $v|date: $v}', '{$v|日期：$v}'),
      field(
        'boolean',
        'rain|rain_expected',
        '有雨|会下雨',
        truth,
        '{Rain is expected|It will rain later}/{No rain is expected|It will stay dry}',
        '{会下雨|预计有雨}/{不会下雨|预计无雨}',
      ),
    ],
    compounds: [
      {
        of: ['city', 'temperature', 'sky'],
        en: '{it is $c in $a at $b degrees|$a: $c, $b degrees|in $a it is $b degrees and $c}',
        zh: '{$a$c，$b度|$a今天$c，气温$b度}',
      },
      {
        of: ['temperature', 'humidity'],
        en: '{$a degrees at $b percent humidity|$a degrees, humidity $b percent}',
        zh: '{$a度，湿度$b%|气温$a度，湿度$b}',
      },
    ],
  },
];
