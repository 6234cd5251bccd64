"""How people spell on a phone, language by language: short forms, lost accents, words run together. Whole words, any case.

Only what cannot be meant otherwise in a message: a word that is also right as it stands is left alone.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

_LISTED: Mapping[str, str] = {
    "pt": """
        q=que oq=o que oque=o que pq=porque pqe=porque porq=porque vc=você vcs=vocês voce=você voces=vocês td=tudo
        tds=todos tb=também tbm=também tmb=também tambem=também n=não ñ=não nao=não naum=não nn=não ngm=ninguém
        ninguem=ninguém nenhm=nenhum alguem=alguém mae=mãe familia=família odio=ódio onibus=ônibus c=com cm=com to=estou
        tô=estou tou=estou ta=está tá=está tava=estava tavam=estavam eh=é hj=hoje cmg=comigo ctg=contigo mto=muito
        mt=muito mts=muitos muinto=muito policia=polícia pra=para pro=para o pras=para as pros=para os agr=agora
        dps=depois msm=mesmo msma=mesma qd=quando qdo=quando qnd=quando qm=quem obg=obrigado vlw=obrigado pfv=por favor
        blz=tudo bem sla=não sei hrs=horas ja=já so=só ate=até irma=irmã irmas=irmãs manha=manhã amanha=amanhã
        medico=médico predio=prédio agua=água rapido=rápido ultima=última proximo=próximo estao=estão vao=vão sao=são
        dao=dão mao=mão maos=mãos chao=chão pao=pão cao=cão aki=aqui axo=acho fds=fim de semana gnt=gente d=de p=para
        numero=número vitima=vítima indio=índio indigena=indígena catolico=católico evangelico=evangélico
        muculmano=muçulmano muculmana=muçulmana cabeca=cabeça braco=braço criancas=crianças crianca=criança
        comecou=começou ameacou=ameaçou ameaca=ameaça ameacas=ameaças ameacaram=ameaçaram onti=ontem otem=ontem ontm=ontem
        vo=avó vó=avó suastica=suástica sabado=sábado domigo=domingo farmacia=farmácia bebe=bebê bebado=bêbado
        bebada=bêbada proxima=próxima video=vídeo ca=cá la=lá historia=história lingua=língua portugues=português
        ingles=inglês frances=francês paises=países taxi=táxi onibuz=ônibus metro=metrô predios=prédios voltaro=voltaram
        xingaro=xingaram facebok=facebook cel=celular msg=mensagem msgs=mensagens tel=telefone end=endereço vcê=você
        obgda=obrigada obgdo=obrigado nda=nada tudu=tudo comigu=comigo ngn=ninguém dms=demais mds=meu
        Deus sdds=saudades flw=tchau tmj=estamos juntos ñão=não estavao=estavam gravida=grávida medica=médica
        publica=pública publico=público unica=única unico=único musica=música fisica=física alcool=álcool cranio=crânio
        orgao=órgão veu=véu cafe=café ingreja=igreja apos=após tres=três mes=mês
        """,
    "en": """
        u=you ur=your r=are pls=please plz=please dont=don't doesnt=doesn't didnt=didn't cant=can't couldnt=couldn't
        wont=won't wouldnt=wouldn't isnt=isn't wasnt=wasn't arent=aren't werent=weren't havent=haven't hasnt=hasn't
        hadnt=hadn't shouldnt=shouldn't im=I'm ive=I've thx=thanks ty=thank you tnx=thanks ppl=people bc=because
        cuz=because coz=because b4=before 2day=today 2moro=tomorrow 2nite=tonight tmrw=tomorrow yest=yesterday msg=message
        gonna=going to wanna=want to gotta=have to abt=about smth=something sb=somebody sth=something w=with wth=with
        hes=he's shes=she's theyre=they're youre=you're thats=that's whats=what's i=I nobodys=nobody's noone=no one
        rn=right now gf=girlfriend bf=boyfriend idk=I don't know msgs=messages cos=because nite=night some1=someone
        any1=anyone every1=everyone no1=no one til=until v=very pic=picture pics=pictures n=and b=be da=the dat=that
        dis=this dem=them wat=what wen=when wuz=was luv=love gd=good m8=mate tho=though thru=through prolly=probably
        def=definitely srsly=seriously neva=never nuffin=nothing nufin=nothing sumfin=something summat=something
        aint=isn't innit=isn't it nd=and hv=have hav=have gr8=great l8r=later l8=late 4ever=forever fone=phone
        skool=school wrk=work hse=house bcoz=because becoz=because bcs=because tbh=to be honest asap=as soon as possible
        sry=sorry txt=text
        """,
    "es": """
        q=que k=que qe=que xq=porque pq=porque porq=porque xk=porque tb=también tmb=también tmbn=también tambien=también
        d=de dl=del x=por xa=para pa=para sta=está stoy=estoy stan=están estan=están ns=no sé nse=no sé nose=no sé bn=bien
        mñn=mañana mañna=mañana anoxe=anoche noxe=noche muxo=mucho mxo=mucho dnd=donde cdo=cuando cnd=cuando aki=aquí
        aqi=aquí aqui=aquí tqm=te quiero mucho msj=mensaje msjs=mensajes m=me t=te finde=fin de semana kiero=quiero
        qiero=quiero kien=quien quiern=quieren policia=policía habia=había tenia=tenía decia=decía dia=día dias=días
        mas=más aun=aún asi=así ahi=ahí alli=allí telefono=teléfono numero=número autobus=autobús medico=médico
        ultimo=último ultima=última proximo=próximo rapido=rápido facil=fácil dificil=difícil victima=víctima
        esvastica=esvástica maricon=maricón ladron=ladrón jamas=jamás ningun=ningún algun=algún segun=según detras=detrás
        despues=después tambn=también ayudenme=ayúdenme ayudame=ayúdame pais=país n=no nd=nada ndie=nadie nadien=nadie
        tdo=todo tdos=todos toy=estoy toi=estoy pls=por favor porfa=por favor xfa=por favor grax=gracias grcs=gracias
        hla=hola wey=güey escupio=escupió
        """,
    "fr": """
        slt=salut bjr=bonjour bsr=bonsoir stp=s'il te plaît svp=s'il vous plaît jsp=je ne sais pas jsuis=je suis chuis=je
        suis jai=j'ai jfais=je fais jpeux=je peux jveux=je veux jvais=je vais jamé=jamais jms=jamais pk=pourquoi
        pq=pourquoi prkoi=pourquoi pcq=parce que pck=parce que psk=parce que pske=parce que paske=parce que kan=quand
        qd=quand qqn=quelqu'un kelkun=quelqu'un qqch=quelque chose qqun=quelqu'un ki=qui ke=que koi=quoi tt=tout ts=tous
        tte=toute tjrs=toujours tjs=toujours tlm=tout le monde bcp=beaucoup ac=avec av=avec ds=dans dc=donc pr=pour
        ms=mais mtn=maintenant mnt=maintenant ajd=aujourd'hui auj=aujourd'hui demin=demain ya=il y a cmt=comment
        cb=combien rdv=rendez-vous msg=message tel=téléphone num=numéro vs=vous ns=nous nn=non wi=oui c=c'est
        cetait=c'était etait=était etaient=étaient ete=été deja=déjà apres=après tres=très meme=même frere=frère mere=mère
        pere=père soeur=sœur ecole=école metro=métro voila=voilà ca=ça numero=numéro telephone=téléphone medecin=médecin
        frappee=frappée insultee=insultée keuf=policier keufs=policiers taf=travail meuf=femme mec=homme
        """,
    "it": """
        nn=non nnt=niente cmq=comunque xke=perché xké=perché perche=perché perchè=perché x=per xò=però pero=però ke=che
        ki=chi k=che qst=questo qsta=questa qnd=quando qndo=quando dv=dove cn=con sn=sono tt=tutto tti=tutti qlc=qualcuno
        qlcn=qualcuno qlcs=qualcosa nsn=nessuno ness=nessuno mlt=molto dp=dopo prox=prossimo sett=settimana grz=grazie
        pf=per favore tvb=ti voglio bene msg=messaggio piu=più gia=già cosi=così puo=può citta=città polizzia=polizia
        lunedi=lunedì martedi=martedì mercoledi=mercoledì giovedi=giovedì venerdi=venerdì cè=c'è po=po' qualcno=qualcuno
        anke=anche sopratutto=soprattutto e'=è
        """,
    "de": """
        nich=nicht nit=nicht net=nicht ned=nicht nix=nichts iwie=irgendwie iwas=irgendwas iwo=irgendwo vllt=vielleicht
        vlt=vielleicht zb=zum Beispiel bzw=beziehungsweise hab=habe ne=eine nen=einen nem=einem ner=einer gestan=gestern
        grad=gerade ma=mal bissl=bisschen wg=wegen ka=keine Ahnung kp=kein Problem bb=bis bald lg=liebe Grüße mfg=mit
        freundlichen Grüßen vg=viele Grüße mgl=möglich fuer=für ueber=über koennen=können moechte=möchte wuerde=würde
        waere=wäre haette=hätte muessen=müssen tuer=Tür strasse=Straße weiss=weiß gross=groß heisst=heißt draussen=draußen
        zurueck=zurück fruehstueck=Frühstück maenner=Männer schueler=Schüler u=und od=oder isch=ich isses=ist es
        gehts=geht es habs=habe es obs=ob es aufm=auf dem inner=in der ausm=aus dem
        """,
    "pl": """
        nwm=nie wiem wgl=w ogóle zeby=żeby ze=że sie=się jestes=jesteś cos=coś ktos=ktoś juz=już tez=też moze=może
        moge=mogę chce=chcę prosze=proszę dziekuje=dziękuję policje=policję dzis=dziś wiecej=więcej maz=mąż zona=żona
        corka=córka mowi=mówi powiedzial=powiedział powiedziala=powiedziała byl=był byla=była bylo=było widzial=widział
        widzialem=widziałem widzialam=widziałam bil=bił uderzyl=uderzył krzyczal=krzyczał pomoz=pomóż pomogl=pomógł
        sasiad=sąsiad sasiadka=sąsiadka mezczyzna=mężczyzna noz=nóż reka=ręka glowa=głowa zlamal=złamał balam=bałam
        boje=boję wiedziec=wiedzieć zostac=zostać isc=iść przyjsc=przyjść spowrotem=z powrotem narazie=na razie cb=ciebie
        tb=tobie kc=kocham cię spk=spoko msg=wiadomość
        """,
    "ro": """
        k=că sa=să pt=pentru ptr=pentru dc=de ce f=foarte nush=nu știu nuj=nu știu stiu=știu vb=vorbesc tre=trebuie
        tb=trebuie numa=numai asa=așa dupa=după pana=până fara=fără langa=lângă inca=încă daca=dacă tara=țară tarii=țării
        politie=poliție politia=poliția scoala=școală usa=ușa barbat=bărbat baiat=băiat masina=mașina aseara=aseară
        maine=mâine saptamana=săptămâna inapoi=înapoi impins=împins injura=înjură injurat=înjurat amenintat=amenințat
        batut=bătut frica=frică tigan=țigan tigani=țigani niciodata=niciodată msg=mesaj mersi=mulțumesc
        multumesc=mulțumesc
        """,
    "tr": """
        slm=selam nbr=ne haber tmm=tamam tsk=teşekkürler tşk=teşekkürler bi=bir birsey=bir şey bişey=bir şey bisey=bir şey
        herkez=herkes yanliz=yalnız yalniz=yalnız herzaman=her zaman hicbir=hiçbir hic=hiç degil=değil diil=değil
        deil=değil cok=çok cunku=çünkü icin=için kadin=kadın kiz=kız komsu=komşu komsum=komşum bicak=bıçak bicakla=bıçakla
        yardim=yardım lutfen=lütfen sikayet=şikayet aksam=akşam dun=dün gun=gün bugun=bugün once=önce cocuk=çocuk
        cocugum=çocuğum oglum=oğlum kizim=kızım esim=eşim basortu=başörtü basortumu=başörtümü dovdu=dövdü
        dovduler=dövdüler tukurdu=tükürdü bagirdi=bağırdı bagirdilar=bağırdılar saldirdi=saldırdı saldirdilar=saldırdılar
        korkuyom=korkuyorum gidiyom=gidiyorum istemiyom=istemiyorum bilmiyom=bilmiyorum napcam=ne yapacağım naber=ne haber
        dunya=dünya ulke=ülke ulkene=ülkene
        """,
    "ru": """
        чё=что че=что чо=что шо=что щас=сейчас ща=сейчас счас=сейчас тя=тебя мя=меня ваще=вообще вобще=вообще
        седня=сегодня сёдня=сегодня седни=сегодня завтро=завтра спс=спасибо пасиб=спасибо пжл=пожалуйста плз=пожалуйста
        пож=пожалуйста хз=не знаю незнаю=не знаю нехочу=не хочу немогу=не могу небыло=не было несмог=не смог ничо=ничего
        ниче=ничего ничё=ничего нинада=не надо ненадо=не надо ктото=кто-то чтото=что-то ченить=что-нибудь скока=сколько
        тока=только када=когда тада=тогда патаму=потому потомучто=потому что патамучто=потому что мб=может быть др=день
        рождения мск=Москва чел=человек челы=люди менты=полиция мент=полицейский сообщ=сообщение смс=сообщение тел=телефон
        """,
    "uk": """
        шо=що чо=чому шоб=щоб шось=щось ніц=нічого незнаю=не знаю нехочу=не хочу неможу=не можу небуло=не було нема=немає
        дяк=дякую дякс=дякую плз=будь ласка спс=дякую хз=не знаю щас=зараз зара=зараз тіки=тільки тока=тільки
        скіки=скільки вобще=взагалі ваще=взагалі сьодні=сьогодні вчера=вчора чел=чоловік тел=телефон смс=повідомлення
        мб=може бути
        """,
    "vi": """
        ko=không k=không kg=không hok=không hong=không khong=không kh=không dc=được đc=được duoc=được ng=người nguoi=người
        vs=với voi=với trc=trước bh=bây giờ h=giờ cx=cũng cg=cũng j=gì gi=gì r=rồi roi=rồi mk=mình mik=mình t=tôi toi=tôi
        e=em a=anh c=chị ntn=như thế nào nma=nhưng mà nhg=nhưng nhưg=nhưng vk=vợ ck=chồng ny=người yêu đt=điện thoại
        sdt=số điện thoại sđt=số điện thoại tn=tin nhắn hqua=hôm qua hnay=hôm nay mn=mọi người ib=nhắn tin bit=biết
        bt=biết bik=biết giup=giúp chui=chửi lm=làm oy=rồi z=vậy v=vậy boi=bởi thg=thằng
        """,
    "tl": """
        aq=ako aqo=ako aku=ako kc=kasi ksi=kasi kse=kasi d=hindi di=hindi hnd=hindi hndi=hindi ndi=hindi wla=wala
        wlang=walang nde=hindi lng=lang nmn=naman nman=naman sya=siya nya=niya xa=siya xya=siya ung=yung un=yun yan=iyan
        cno=sino anu=ano pno=paano bkit=bakit bket=bakit gus2=gusto gsto=gusto tlga=talaga tlaga=talaga dto=dito d2=dito
        dun=doon jan=diyan pra=para pde=pwede pwd=pwede sna=sana ngaun=ngayon ngyn=ngayon khpon=kahapon kgbi=kagabi
        bhay=bahay kpitbahay=kapitbahay pls=paki plz=paki slmt=salamat salmat=salamat kau=kayo kyo=kayo cla=sila cya=siya
        q=ko ng2=nito meron=mayroon
        """,
    "so": """
        wxn=waxaan waxan=waxaan wan=waan ma'=ma asc=assalaamu calaykum wcs=wa calaykum salaam hdii=haddii hadii=haddii
        sbb=sababtoo mhsnd=mahadsanid mahadsnid=mahadsanid fdln=fadlan waxu=wuxuu
        """,
    "ar": """
        انشالله=إن شاء الله إنشاءالله=إن شاء الله لاكن=لكن هاذا=هذا هاذي=هذه ذالك=ذلك مبارح=أمس امبارح=أمس إمبارح=أمس
        بكرا=غدا بكره=غدا هلأ=الآن هلق=الآن دلوقتي=الآن الحين=الآن هسا=الآن مو=ليس مش=ليس ماحدا=لا أحد محدش=لا أحد شو=ماذا
        ايش=ماذا إيش=ماذا وش=ماذا ليش=لماذا ليه=لماذا وين=أين فين=أين كتير=كثيرا كثير=كثيرا بدي=أريد عايز=أريد عاوز=أريد
        ابغى=أريد أبغى=أريد خايف=خائف خايفه=خائفة خايفة=خائفة مابدي=لا أريد ماعرف=لا أعرف مابعرف=لا أعرف عشان=لأن
        علشان=لأن البوليس=الشرطة هون=هنا هنيك=هناك
        """,
}


def _table(entries: str) -> Mapping[str, str]:
    # "por favor" holds a space, so an entry runs until the next word that holds "=".
    return dict(re.findall(r"(\S+?)=(.+?)(?=\s+\S+=|\s*\Z)", " ".join(entries.split())))


SPELLINGS: Mapping[str, Mapping[str, str]] = {language: _table(entries) for language, entries in _LISTED.items()}
