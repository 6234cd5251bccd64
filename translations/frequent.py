"""The little words of the languages in Latin letters: a third voice beside two detectors that were made for longer texts.

Each word counts for every language that lists it, so what neighbours share decides nothing. Words as `catalog.normalised` writes
them: lower case, without accents.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence

from translations.catalog import normalised

_LISTED: Mapping[str, str] = {
    "en": """
        the and is was are were be been my me i im ive you he she they them their his her our us we it its this that these
        those there here what who why how when where not dont didnt doesnt cant wont no yes to of in on at with from by for
        about because but if then so some somebody someone anybody anyone nobody has have had do did does got get said told
        says keeps kept can could would should will want need help please today yesterday last night after before again
        every just out off up down into man men woman called shouted hit please hello hi
        """,
    "es": """
        el la los las un una unos unas y o pero porque que de del al en con por para sin sobre mi mis me nos se le les lo te
        tu tus su sus yo ella ellos nosotros ustedes es son era fue fueron soy estoy esta estan hay habia ha han he hace hoy
        ayer anoche manana siempre nunca nada nadie alguien algo muy mas tambien cuando donde como quien este esta esto ese
        esa eso aqui alli calle casa ayuda necesito quiero puedo tengo miedo dijo dijeron gritaron hombre hombres mujer unos
        vecino hijo hola gracias favor q xq pq
        """,
    "fr": """
        le la les un une des du de et ou mais parce que qu qui quoi dans sur avec sans pour par chez je j me m moi mon ma
        mes tu te t toi ton ta il elle on nous vous ils elles se s lui leur leurs notre votre c ce cet cette ces ca est
        etait suis sont a ai as avons ont ete fait dit ne n pas plus rien personne jamais toujours aussi tres quand comment
        pourquoi ici hier soir matin aujourd hui depuis besoin aide veux peux peur rue maison homme hommes femme voisin fils
        bonjour salut merci svp y au aux en
        """,
    "pt": """
        o a os as um uma uns umas e ou mas porque que de do da dos das em no na nos nas com por pelo pela para pra pro sem
        sobre meu minha meus minhas me mim eu voce vc ele ela eles elas nos se lhe seu sua dele dela e sao era foi foram sou
        estou to esta ta estao tem tinha ha ontem hoje amanha sempre nunca nada ninguem alguem algo muito mais tambem quando
        onde como quem este esta isso isto esse essa aqui ali rua casa ajuda preciso quero posso tenho medo disse disseram
        gritou homem homens mulher nao n vizinho filho oi obrigado q pq ao aos num numa
        """,
    "de": """
        der die das den dem des ein eine einen einem einer und oder aber weil dass ist war sind waren bin bist hat haben
        habe hab wurde wurden wird werden kann konnen will mochte muss soll ich mich mir mein meine meinen meiner du dich
        dir dein er ihn ihm sein seine sie ihr ihre wir uns unser unsere es man nicht kein keine nichts niemand jemand etwas
        immer nie auch noch schon sehr mit von zu zum zur in im an am auf aus bei nach vor uber unter gegen fur ohne um als
        wenn wie was wo wer warum hier da heute gestern nacht abend morgen mann manner frau nachbar angst hilfe brauche
        bitte hallo
        """,
    "it": """
        il lo la i gli le un uno una e o ma perche che di del della dei delle al alla in nel nella con per su sul sulla da
        dal dalla senza mi ti ci si vi mio mia miei mie tuo tua suo sua nostro nostra io tu lui lei noi voi loro e sono sei
        era erano ho hai ha abbiamo hanno stato stata stati fatto detto non niente nessuno qualcuno qualcosa sempre mai
        anche molto piu quando dove come chi questo questa quello quella qui ieri oggi sera notte casa strada aiuto bisogno
        voglio posso paura uomo uomini donna vicino figlio ciao grazie cosa dopo
        """,
    "pl": """
        i a ale bo ze to jest sa byl byla bylo byli sie mnie mi mam moj moja moje moim mojego moja ty cie ci go jej jego ich
        nas nam my on ona oni one w we z ze na do od po przez przed za dla o u pod nad przy nie nic nikt nigdy zawsze ktos
        cos bardzo tez juz jeszcze tylko kiedy gdzie jak co kto dlaczego ten ta te tego tej tu tam wczoraj dzis dzisiaj
        jutro wieczorem rano noc dom ulicy pomoc pomocy potrzebuje chce moge boje prosze czy sasiad syn powiedzial zeby byc
        moze
        """,
    "ro": """
        si sau dar ca sa pentru de la in pe cu fara din spre despre un o unui unei al ai ale a este e sunt era erau am ai
        are avem au fost fac spus zis ma mi m mie meu mea mei mele te ti tu tau ta il o le lui ei el ea noi ne nostru
        noastra voi va se nu nimic nimeni nimic cineva ceva mereu niciodata foarte mai cand unde cum cine ce acest aceasta
        asta acolo aici ieri azi aseara seara noapte acasa strada ajutor nevoie vreau pot frica barbat femeie vecin vecinul
        fiul buna salut va rog care fi imi
        """,
    "tr": """
        ve ile ama cunku icin bir bu su o ben beni bana benim sen seni sana onu ona onun biz bizi bize bizim onlar de da ki
        mi mu ne kim nerede nasil neden degil var yok hic kimse biri bisey birsey cok daha en gibi kadar sonra once dun
        bugun yarin aksam gece sabah ev eve evde sokakta yardim istiyorum korkuyorum lutfen dedi adam kadin komsu komsum
        oglum kizim oldu geldi gitti iki uc her gun hep
        """,
    "vi": """
        toi anh em chi ong ba no chung ho ta minh ban la co khong ko va voi cua cho de o tai trong ngoai tren duoi tu den ve
        vi nen thi ma nhung neu khi luc da dang se bi duoc lam noi goi danh chui thay muon can giup so nha duong hom qua nay
        toi sang ngay moi nguoi mot hai ba cac nhung con trai gai ai gi dau sao nay kia do rat nhieu lam cung chua roi xin
        chao cam on
        """,
    "tl": """
        ang ng mga sa na at ay ako ko akin sakin ikaw ka mo iyo siya niya kanya kami namin amin tayo natin atin sila nila
        kanila kayo nyo ninyo si ni kay may mayroon meron wala walang hindi di huwag ito iyon yun yung ito dito doon nito
        kasi dahil pero kung kapag nang para po opo ba naman lang din rin pa nga daw raw kahapon kagabi ngayon bukas gabi
        umaga lalaki babae tao bahay tulong kailangan gusto takot sabi sinabi anak ano sino bakit paano nasa araw ayoko
        """,
    "so": """
        waxaan waxa waan wuxuu waxay way wuu waa aan uu ay aad iyo oo ee ka ku u la soo sii si ayaa ayay ayuu baa buu bay ma
        maya inaan inay inuu in haddii markii marka sababtoo ah maxaa yaa aniga adiga isaga iyada annaga iyaga iga igu ila
        noo nagu na kaa ku i qof nin nimanka naag wiil wiilka gabar guri guriga shalay xalay maanta berri caawa caawimo
        baahanahay rabaa doonayaa baqayaa yidhi yiri fadlan salaan mid laba badan aad waxba cidna
        """,
    "ru": """
        и в во не на что он она оно они я мы вы ты меня мне мной мой моя мои моего моей нас нам наш нашу его ее их ему кто
        когда где как это этот эта был была было были никто ничего никогда всегда очень есть нет да уже еще только если
        чтобы потому из за по до у с со к ко о об от или но а для без над под при дома домой вчера сегодня завтра вечером
        утром ночью сказал сказала сказали говорит помощь помогите нужна нужно боюсь хочу хочет можно пожалуйста человек
        мужчина женщина сосед сын дочь каждый день
        """,
    "uk": """
        і й та в у не на що він вона воно вони я ми ви ти мене мені мною мій моя мої мого моєї нас нам наш нашу його її їх
        йому хто коли де як це цей ця був була було були ніхто нічого ніколи завжди дуже є немає так вже ще тільки якщо щоб
        бо тому з із за по до від або але для без над під при вдома додому вчора сьогодні завтра ввечері вранці вночі сказав
        сказала сказали каже допомога допоможіть потрібна потрібно боюся хочу хоче можна будь ласка людина чоловік жінка
        сусід син дочка кожен день щодня
        """,
    # Not among our languages, but taken for one of them by every detector that lacks them.
    "ht": """
        mwen nou li yo ou m w l n nan pou ki ak se te pral ap pa gen anpil tout moun yon sou lan lakay kay paske men lè le
        kote jan sa kisa kilès poukisa bezwen èd ed tanpri bonswa bonjou vle ka kapab pè pe frape bat di rele vwazen m pitit
        fanm gason mesye yè ye jodi swa maten lapolis lekol lekòl kont kreyol ayisyen ayiti mande ede tounen peyi pesonn
        anyen toujou
        """,
    "ku": """
        ez min tu te ew wi we me hun wan ji li bi di de da re ra ser ber u ku ke ev va vê ne na nin nine tune heye hene e im
        in ye bu bun kir kirin dike dikin dikim dixwazim ditirsim nikarim hat hatin cu got gotin dibe mala mal male welat
        dibistan cîran ciran alikari alîkarî kes kesi tist tişt gelek pir duh iro îro sibe roj sev kur kurê kec keça jin mer
        mêr lazim pirsgirek spas silav xwe hemu her u ji bo cima çima
        """,
}


def _speakers() -> dict[str, frozenset[str]]:
    found: dict[str, set[str]] = {}
    for language, listed in _LISTED.items():
        for word in listed.split():
            found.setdefault(normalised(word), set()).add(language)
    return {word: frozenset(speakers) for word, speakers in found.items()}


_SPEAKERS = _speakers()


def known_words(words: Sequence[str]) -> Counter[str]:
    """How many of the words each language lists."""
    return Counter(language for word in words for language in _SPEAKERS.get(word, ()))


def claimed(words: Sequence[str]) -> tuple[str | None, float]:
    """The language that claims most of a text, and its share of all words; None when two claim alike.

    A word that several languages list counts for each by its share.
    """
    claims = dict.fromkeys(_LISTED, 0.0)
    for word in words:
        speakers = _SPEAKERS.get(word, frozenset())
        for language in speakers:
            claims[language] += 1 / len(speakers)
    best, second = sorted(claims, key=lambda language: claims[language], reverse=True)[:2]
    if claims[best] < 1 or claims[best] < 1.25 * claims[second]:
        return None, 0.0
    return best, known_words(words)[best] / len(words)
