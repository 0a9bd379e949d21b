// What tools can look up.
//
// Owns the kinds of entities (employees, products, flights...) with their attributes, and the usual questions for them. Knows
// nothing about schemas or scenarios. An attribute's value is drawn with the call, so it cannot be guessed.
import type { Random } from './random.ts';
import type { Language } from './task.ts';
import {
  amount,
  code,
  type Draw,
  email,
  integer,
  oneOf,
  person,
  phone,
  place,
  thing,
  time,
  topic,
} from './use-tools-values.ts';

export interface Attribute {
  /** snake_case keys, the first is the usual one. */
  readonly keys: string;
  readonly en: string;
  readonly zh: string;
  readonly draw: Draw;
  /** The usual way to ask for it, beside "what is the ... of ...". */
  readonly asked?: Readonly<Record<Language, string>>;
}

export interface Entity {
  readonly name: string;
  /** Names of the parameter that takes it. */
  readonly parameters: string;
  readonly zh: string;
  readonly draw: (random: Random, language: Language) => string;
  /** How a sentence names one: `$x` is its value. */
  readonly named: Readonly<Record<Language, string>>;
  readonly attributes: readonly Attribute[];
}

const color = oneOf(
  'red|blue|green|black|white|yellow|brown|gray|orange',
  '红色|蓝色|绿色|黑色|白色|黄色|棕色|灰色|橙色',
);

/** By attribute. The subject `$x` is named as its kind is. */
const usualQuestions: Readonly<Record<string, Readonly<Record<Language, string>>>> = {
  email: {
    en: '{How can I write to $x?|To which address do I write to reach $x?|Which email does $x have?}',
    zh: '{怎么写邮件给$x？|$x的邮箱地址？}',
  },
  'phone number': {
    en: '{How can I call $x?|Which number do I call to reach $x?|I want to call $x. Which number?}',
    zh: '{怎么打电话给$x？|$x的号码是多少？}',
  },
  price: {
    en: '{How much is $x?|How much does $x cost?|What does $x cost?|How expensive is $x?}',
    zh: '{$x多少钱？|$x卖多少钱？|$x怎么卖？}',
  },
  stock: {
    en: '{How many pieces of $x are {in stock|left}?|How large is the stock of $x?}',
    zh: '{$x还有多少件？|库里有多少$x？}',
  },
  weather: {
    en: '{How is the weather in $x{ today| now|}?|What is the weather {like |}in $x{ today| now|}?|Weather in $x{?|}}',
    zh: '{$x天气怎么样？|今天$x天气如何？|$x现在什么天气？}',
  },
  temperature: {
    en: '{How warm is it in $x?|How cold is it in $x?|How many degrees are there in $x?|What is the temperature in $x?}',
    zh: '{$x现在多少度？|$x几度？|$x有多热？}',
  },
  population: { en: '{How many people live in $x?|How big is $x?}', zh: '{$x有多少人？|$x住着多少人？}' },
  'local time': { en: '{What time is it in $x{ now|}?|How late is it in $x?}', zh: '{$x现在几点？|$x几点了？}' },
  mayor: { en: '{Who is the mayor of $x?|Who governs $x?}', zh: '{$x的市长是谁？|谁是$x的市长？}' },
  manager: {
    en: '{Who is the manager of $x?|Who is the boss of $x?|To whom does $x report?}',
    zh: '{$x的经理是谁？|谁是$x的上司？}',
  },
  author: { en: '{Who wrote $x?|Who is the author of $x?}', zh: '{$x是谁写的？|谁写了$x？}' },
  status: { en: '{How is $x doing?|What about $x?|What is going on with $x?}', zh: '{$x怎么样了？|$x什么情况？}' },
  'departure time': {
    en: '{When does $x {leave|depart|take off}?|At what time does $x leave?}',
    zh: '{$x几点出发？|$x什么时候起飞？}',
  },
  gate: { en: '{From which gate does $x leave?|Which gate is $x at?}', zh: '{$x在哪个登机口？|$x从哪个口登机？}' },
  destination: { en: '{Where does $x go{ to|}?|Where is $x going?}', zh: '{$x去哪里？|$x发到哪里？}' },
  customer: { en: '{Who placed $x?|Who ordered $x?|Whose is $x?}', zh: '{$x是谁下的？|$x是谁的？}' },
  owner: { en: '{Who owns $x?|Whose is $x?|To whom does $x belong?}', zh: '{$x是谁的？|谁拥有$x？}' },
  capacity: {
    en: '{How many people fit into $x?|How many seats does $x have?}',
    zh: '{$x能坐多少人？|$x能容纳几人？}',
  },
  age: { en: 'How old is $x?', zh: '{$x几岁？|$x多大了？}' },
  teacher: { en: 'Who teaches $x?', zh: '谁教$x？' },
  doctor: { en: '{Who treats $x?|Which doctor does $x have?}', zh: '{谁给$x看病？|$x的医生是谁？}' },
  'closing time': { en: '{When does $x close?|How long is $x open?}', zh: '{$x几点关门？|$x开到几点？}' },
  'number of pages': { en: '{How long is $x?|How many pages does $x have?}', zh: '{$x有多少页？|$x有多厚？}' },
  'vacation days': { en: 'How many vacation days does $x have left?', zh: '$x还有几天假？' },
  birthday: { en: 'When is the birthday of $x?', zh: '$x什么时候过生日？' },
  weight: { en: '{How heavy is $x?|How much does $x weigh?}', zh: '{$x多重？|$x有多重？}' },
  color: { en: '{Which color does $x have?|What color is $x?}', zh: '{$x是什么颜色？|$x什么颜色？}' },
};

export const emailAttribute = attribute('email|email_address|mail', 'email', '邮箱', email);

export const phoneAttribute = attribute('phone|phone_number|tel', 'phone number', '电话', phone);

export const managerAttribute = attribute('manager|boss|supervisor', 'manager', '经理', person);

export const priceAttribute = attribute('price|cost|unit_price', 'price', '价格', integer(2, 99));

export const departureAttribute = attribute('departure|departure_time|leaves_at', 'departure time', '出发时间', time);

export const customerAttribute = attribute('customer|buyer|client', 'customer', '客户', person);

function attribute(keys: string, en: string, zh: string, draw: Draw): Attribute {
  const asked = usualQuestions[en];
  return { keys, en, zh, draw, ...(asked ? { asked } : {}) };
}

export const employee: Entity = {
  name: 'employee',
  zh: '员工',
  parameters: 'employee|name|person|who',
  draw: person,
  named: { en: '$x', zh: '$x' },
  attributes: [
    emailAttribute,
    phoneAttribute,
    managerAttribute,
    attribute('department|team|unit', 'department', '部门', topic),
    attribute('office|room|desk', 'office', '办公室', code),
    attribute('salary|pay|wage', 'salary', '工资', (random) => random.integer(20, 150) * 100),
    attribute(
      'birthday|birth_date',
      'birthday',
      '生日',
      (random) => `${random.integer(1, 12)}-${random.integer(1, 28)}`,
    ),
    attribute('vacation_days|days_off|leave_left', 'vacation days', '假期天数', integer(0, 40)),
  ],
};

/** Anyone whose address or number is known; where a person found by one tool is handed to another. */
export const contact: Entity = {
  name: 'contact',
  zh: '联系人',
  parameters: 'name|contact|person',
  draw: person,
  named: { en: '$x', zh: '$x' },
  attributes: [emailAttribute, phoneAttribute],
};

export const product: Entity = {
  name: 'product',
  zh: '商品',
  parameters: 'product|item|name|article',
  draw: thing,
  named: { en: 'the $x', zh: '$x' },
  attributes: [
    priceAttribute,
    attribute('stock|in_stock|quantity|units', 'stock', '库存', integer(0, 500)),
    attribute('weight|weight_grams|mass', 'weight', '重量', integer(5, 5000)),
    attribute('color|colour', 'color', '颜色', color),
    attribute('rating|stars|score', 'rating', '评分', (random) => random.integer(10, 50) / 10),
    attribute(
      'supplier|maker|vendor',
      'supplier',
      '供应商',
      oneOf('Acme|Nova|Orbit|Lumen|Vertex|Harbor|Cedar|Summit|Falcon', '华星|蓝海|云帆|天成|金桥|远大|明辉|新风'),
    ),
    attribute('shelf|aisle|location', 'shelf', '货架', code),
  ],
};

export const order: Entity = {
  name: 'order',
  zh: '订单',
  parameters: 'order|order_id|id|number',
  draw: code,
  named: { en: 'order $x', zh: '订单$x' },
  attributes: [
    customerAttribute,
    attribute(
      'status|state',
      'status',
      '状态',
      oneOf('shipped|packed|open|delivered|canceled|delayed', '已发货|已打包|待处理|已送达|已取消|延迟'),
    ),
    attribute('total|amount|sum', 'total', '总额', amount),
    attribute('city|destination|ship_to', 'destination', '目的地', place),
    attribute('items|item_count|pieces', 'number of items', '件数', integer(1, 60)),
  ],
};

export const flight: Entity = {
  name: 'flight',
  zh: '航班',
  parameters: 'flight|flight_number|code|id',
  draw: (random) => `${random.pick(['LH', 'BA', 'AF', 'CA', 'MU', 'KL', 'DL', 'SQ', 'JL'])}${random.integer(100, 999)}`,
  named: { en: 'flight $x', zh: '航班$x' },
  attributes: [
    departureAttribute,
    attribute('gate|gate_number', 'gate', '登机口', code),
    attribute(
      'status|state',
      'status',
      '状态',
      oneOf('on time|delayed|boarding|canceled|landed', '准点|延误|登机中|已取消|已降落'),
    ),
    attribute('destination|to|arrival_city', 'destination', '目的地', place),
    attribute('free_seats|seats_left|seats', 'number of free seats', '空座数', integer(0, 180)),
  ],
};

export const entities: readonly Entity[] = [
  employee,
  product,
  order,
  flight,
  {
    name: 'city',
    zh: '城市',
    parameters: 'city|place|location|town',
    draw: place,
    named: { en: '$x', zh: '$x' },
    attributes: [
      attribute('temperature|degrees|temp', 'temperature', '气温', integer(-10, 40)),
      attribute(
        'weather|sky|condition',
        'weather',
        '天气',
        oneOf('sunny|cloudy|rainy|snowy|windy|foggy', '晴|多云|小雨|下雪|大风|有雾'),
      ),
      attribute('population|inhabitants', 'population', '人口', (random) => random.integer(10, 9999) * 1000),
      attribute('local_time|time|clock', 'local time', '当地时间', time),
      attribute('humidity|humidity_percent', 'humidity', '湿度', integer(10, 99)),
      attribute('mayor|mayor_name', 'mayor', '市长', person),
      attribute('air_quality|aqi', 'air quality', '空气质量', integer(5, 300)),
    ],
  },
  {
    name: 'room',
    zh: '房间',
    parameters: 'room|room_id|name',
    draw: code,
    named: { en: 'room $x', zh: '房间$x' },
    attributes: [
      attribute('temperature|degrees', 'temperature', '温度', integer(12, 30)),
      attribute('capacity|seats|max_people', 'capacity', '容量', integer(2, 200)),
      attribute('floor|level', 'floor', '楼层', integer(0, 30)),
      attribute('booked_by|reserved_by|guest', 'guest', '预订人', person),
    ],
  },
  {
    name: 'student',
    zh: '学生',
    parameters: 'student|name|pupil',
    draw: person,
    named: { en: '$x', zh: '$x' },
    attributes: [
      attribute('grade|mark|score', 'grade', '成绩', integer(1, 100)),
      attribute('teacher|tutor', 'teacher', '老师', person),
      attribute('class|group|course', 'class', '班级', code),
      attribute('absences|days_absent', 'number of absences', '缺勤次数', integer(0, 30)),
    ],
  },
  {
    name: 'account',
    zh: '账户',
    parameters: 'account|account_id|user|id',
    draw: code,
    named: { en: 'account $x', zh: '账户$x' },
    attributes: [
      attribute('balance|money|funds', 'balance', '余额', amount),
      attribute('owner|holder', 'owner', '户主', person),
      attribute('plan|tier|level', 'plan', '套餐', oneOf('basic|plus|pro|free|gold', '基础|高级|专业|免费|黄金')),
      attribute('last_login|last_seen', 'last login', '上次登录', time),
    ],
  },
  {
    name: 'server',
    zh: '服务器',
    parameters: 'server|host|machine|name',
    draw: (random) => `${random.pick(['web', 'db', 'mail', 'cache', 'build', 'test'])}-${random.integer(1, 99)}`,
    named: { en: 'server $x', zh: '服务器$x' },
    attributes: [
      attribute('load|cpu|cpu_load', 'load', '负载', integer(0, 100)),
      attribute('uptime|uptime_days|days_up', 'uptime', '运行天数', integer(0, 900)),
      attribute('status|state|health', 'status', '状态', oneOf('up|down|slow|restarting', '正常|宕机|缓慢|重启中')),
      attribute('version|release', 'version', '版本', (random) => `${random.integer(1, 9)}.${random.integer(0, 30)}`),
      attribute('free_memory|memory|free_gb', 'free memory', '空闲内存', integer(1, 512)),
    ],
  },
  {
    name: 'restaurant',
    zh: '餐厅',
    parameters: 'restaurant|name|place',
    draw: (random, language) =>
      random.pick(
        language === 'zh'
          ? ['外婆家', '老地方', '江南春', '小南国', '绿茶', '蜀香园', '福满楼', '四季春']
          : [
              'Luna',
              'Blue Door',
              'Old Mill',
              'Green Leaf',
              'Sakura',
              'Bella',
              'Harbor View',
              'Little Fork',
              'Red Lantern',
            ],
      ),
    named: { en: '$x', zh: '$x' },
    attributes: [
      phoneAttribute,
      attribute('rating|stars|score', 'rating', '评分', (random) => random.integer(10, 50) / 10),
      attribute('free_tables|tables', 'number of free tables', '空桌数', integer(0, 30)),
      attribute('closing_time|closes_at', 'closing time', '打烊时间', time),
      attribute(
        'cuisine|kitchen',
        'cuisine',
        '菜系',
        oneOf('Italian|Chinese|French|Indian|Greek|Thai|Mexican', '川菜|粤菜|湘菜|鲁菜|苏菜|浙菜|闽菜'),
      ),
    ],
  },
  {
    name: 'book',
    zh: '书',
    parameters: 'book|title|name',
    draw: (random, language) =>
      language === 'zh'
        ? `${random.pick(['红', '蓝', '老', '小', '远', '静'])}${random.pick(['山', '河', '城', '树', '灯', '海', '桥'])}`
        : `The ${random.pick(['Red', 'Blue', 'Old', 'Last', 'Quiet', 'Long', 'Lost'])} ${random.pick(['Hill', 'River', 'Door', 'Tree', 'Lamp', 'Sea', 'Bridge', 'Road'])}`,
    named: { en: '$x', zh: '《$x》' },
    attributes: [
      attribute('author|writer|written_by', 'author', '作者', person),
      attribute('pages|page_count|length', 'number of pages', '页数', integer(40, 900)),
      attribute('year|published|publication_year', 'year', '出版年份', integer(1900, 2025)),
      attribute('shelf|location|place', 'shelf', '书架', code),
      attribute('copies|available|copies_left', 'number of copies', '册数', integer(0, 20)),
    ],
  },
  {
    name: 'car',
    zh: '汽车',
    parameters: 'car|plate|vehicle|id',
    draw: (random) => `${random.pick([...'ABCDEFGHKLMN'])}${random.pick([...'RSTUVWXYZ'])}-${random.integer(100, 999)}`,
    named: { en: 'car $x', zh: '汽车$x' },
    attributes: [
      attribute('mileage|km|odometer', 'mileage', '里程', (random) => random.integer(10, 3000) * 100),
      attribute('owner|driver|holder', 'owner', '车主', person),
      attribute('fuel|fuel_level|fuel_percent', 'fuel level', '油量', integer(1, 100)),
      attribute('color|paint', 'color', '颜色', color),
    ],
  },
  {
    name: 'patient',
    zh: '病人',
    parameters: 'patient|name|person',
    draw: person,
    named: { en: '$x', zh: '$x' },
    attributes: [
      attribute('doctor|physician', 'doctor', '医生', person),
      attribute('room|ward|bed', 'room', '病房', code),
      attribute('appointment|next_visit|visit_time', 'appointment', '预约时间', time),
      attribute('age|years', 'age', '年龄', integer(1, 99)),
    ],
  },
];
